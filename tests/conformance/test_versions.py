"""Several versions of one model."""

from __future__ import annotations

import pytest
from support.server import Server, manifest, unique_name

pytestmark = pytest.mark.better_than_mms


def _write(server: Server, version: str | None) -> str:
    url = unique_name("versioned")
    fields = {"modelVersion": version} if version else {}
    server.write_model(
        url,
        f"def handle(data, context):\n    return ['{version}'] * len(data or [1])\n",
        manifest(url, model=fields),
    )
    return url


def _register_two(server: Server) -> str:
    name = unique_name("two")
    for version in ("1.0", "2.0"):
        reply = server.register(_write(server, version), model_name=name, initial_workers=1)
        assert (reply.status, reply.status_text) == (200, "Workers scaled")
    return name


@pytest.fixture
def two(server: Server) -> str:
    """The name of a model with the versions 1.0, registered first, and 2.0; tests leave both as they are."""
    name: str | None = server.__dict__.get("two_versions")
    if name is None:
        name = server.__dict__["two_versions"] = _register_two(server)
    return name


def _answer(server: Server, path: str) -> str:
    reply = server.inference.get(path)
    assert reply.status == 200, reply
    return reply.text


@pytest.mark.edge
def test_the_first_version_is_the_default(server: Server, two: str) -> None:
    assert _answer(server, f"/predictions/{two}") == "1.0"
    assert _answer(server, f"/models/{two}/invoke") == "1.0"
    assert _answer(server, f"/invocations?model_name={two}") == "1.0"


@pytest.mark.edge
def test_a_version_is_addressed_by_the_path(server: Server, two: str) -> None:
    assert _answer(server, f"/predictions/{two}/1.0") == "1.0"
    assert _answer(server, f"/predictions/{two}/2.0") == "2.0"


@pytest.mark.edge
def test_an_unknown_version_is_404(server: Server, two: str) -> None:
    reply = server.inference.get(f"/predictions/{two}/3.0")
    assert (reply.status, reply.json()["code"]) == (404, 404)
    assert "3.0" in reply.json()["message"]


@pytest.mark.edge
def test_the_default_can_be_changed(server: Server, two: str) -> None:
    assert server.management.put(f"/models/{two}/2.0/set-default").status == 200
    assert _answer(server, f"/predictions/{two}") == "2.0"
    assert _answer(server, f"/predictions/{two}/1.0") == "1.0"
    assert server.management.put(f"/models/{two}/1.0/set-default").status == 200
    assert _answer(server, f"/predictions/{two}") == "1.0"


def test_an_unknown_version_cannot_be_made_the_default(server: Server, two: str) -> None:
    assert server.management.put(f"/models/{two}/3.0/set-default").status == 404
    assert server.management.put("/models/absent/1.0/set-default").status == 404
    assert _answer(server, f"/predictions/{two}") == "1.0"


def test_a_version_that_is_taken_is_a_conflict(server: Server, two: str) -> None:
    reply = server.register(_write(server, "2.0"), model_name=two)
    assert (reply.status, reply.json()) == (
        409,
        {
            "code": 409,
            "type": "ConflictStatusException",
            "message": f"Model {two} is already registered.",
        },
    )


def test_describe_shows_the_default_version_and_each_by_its_path(server: Server, two: str) -> None:
    assert server.describe(two)["modelVersion"] == "1.0"
    described = server.management.get(f"/models/{two}/2.0").json()
    if isinstance(described, list):
        (described,) = described
    assert described["modelVersion"] == "2.0"


def test_a_list_names_the_model_once(server: Server, two: str) -> None:
    listed = server.management.get("/models").json()["models"]
    assert [model["modelName"] for model in listed].count(two) == 1


def test_versions_are_scaled_on_their_own(server: Server, two: str) -> None:
    reply = server.management.put(f"/models/{two}/2.0?min_worker=2&synchronous=true")
    assert (reply.status, reply.status_text) == (200, "Workers scaled")
    assert len(server.describe(two)["workers"]) == 1


@pytest.mark.edge
def test_a_version_can_be_unregistered_alone(server: Server) -> None:
    name = _register_two(server)
    assert server.management.delete(f"/models/{name}/2.0").status == 200
    assert server.inference.get(f"/predictions/{name}/2.0").status == 404
    assert _answer(server, f"/predictions/{name}") == "1.0"
    server.unregister(name)


@pytest.mark.edge
def test_a_model_without_a_version_is_reached_by_its_name(server: Server) -> None:
    with server.registered(_write(server, None)) as name:
        assert _answer(server, f"/predictions/{name}") == "None"
        assert "modelVersion" not in server.describe(name)
