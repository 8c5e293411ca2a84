"""The examples of Seldon components and of PrimeHub servers, as their READMEs have them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from example_server import ROOT, ExampleServer, pack, run, serving

SCORER = ROOT / "examples" / "seldon_component"
GREETER = ROOT / "examples" / "primehub_custom"
IRIS = ROOT / "examples" / "primehub_sklearn"


class Served:
    """The server, and the folder of the trained irises."""

    def __init__(self, server: ExampleServer, iris: Path) -> None:
        self.server = server
        self.iris = iris

    def predict(self, model: str, file: Path) -> Any:
        route = f"/seldon/default/{model}/api/v1.0/predictions"
        return self.server.post_json(route, json.loads(file.read_bytes()))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("components")
    store, iris = folder / "store", folder / "iris"
    store.mkdir()
    run("python", "examples/primehub_sklearn/train.py", "--model-dir", str(iris))
    for name, path, more in (
        ("iris", iris, ["--prepackaged", "sklearn"]),
        ("greeter", GREETER, ["--handler", "Model", "--model-uri", str(GREETER / "model")]),
        ("scorer", SCORER, ["--handler", "Scorer", "--param", "threshold=3:FLOAT"]),
    ):
        pack(name, path, store, *more)
    with serving(store, "--models", "iris.mar", "greeter.mar", "scorer.mar") as server:
        yield Served(server, iris)


def answer_in(readme: Path) -> Any:
    """The JSON of the README's one block of it."""
    (text,) = re.findall(r"^```json\n(.*?)^```", readme.read_text(encoding="utf-8"), re.M | re.S)
    return json.loads(text)


def test_the_scorer_answers_what_its_readme_says(served: Served) -> None:
    expected = answer_in(SCORER / "README.md")
    assert served.predict("scorer", SCORER / "request.json") == expected


def test_the_scorers_own_error_has_the_status_that_it_chose(served: Served) -> None:
    route = "/seldon/default/scorer/api/v1.0/predictions"
    reply = served.server.post(route, b'{"data": {"ndarray": [[1, 2]]}}')
    assert reply.status == 422
    status = reply.json()["status"]
    assert (status["info"], status["reason"]) == ("rows have 2 numbers, expected 3", "WRONG_WIDTH")


def test_the_scorer_takes_feedback_and_tells_its_metadata(served: Served) -> None:
    feedback = json.loads((SCORER / "feedback.json").read_bytes())
    route = "/seldon/default/scorer/api/v1.0"
    assert served.server.post_json(f"{route}/feedback", feedback)["data"] == {"ndarray": []}
    assert served.server.get(f"{route}/metadata").json()["name"] == "scorer"


def test_the_rows_of_the_scorer_are_counted_once(served: Served) -> None:
    def rows() -> float:
        found = re.findall(r"^scored_rows_total\{.*\} (\S+)$", served.server.metrics(), re.M)
        return sum(map(float, found))

    served.predict("scorer", SCORER / "request.json")
    before = rows()
    served.predict("scorer", SCORER / "request.json")
    served.server.get("/seldon/default/scorer/health/status")
    assert rows() == before + 2


def test_the_greeter_is_given_the_folder_of_its_model_uri(served: Served) -> None:
    assert served.predict("greeter", GREETER / "request.json") == answer_in(GREETER / "README.md")
    health = served.server.get("/seldon/default/greeter/health/status")
    assert (health.status, health.json()["strData"]) == (200, "ready")


def test_irises_need_no_code(served: Served) -> None:
    answer = served.predict("iris", IRIS / "request.json")
    assert answer["data"]["names"] == ["t:0", "t:1", "t:2"]
    setosa, virginica = answer["data"]["ndarray"]
    assert setosa[0] > 0.8
    assert virginica[2] > 0.8
    tensor = served.predict("iris", IRIS / "request_tensor.json")["data"]["tensor"]
    assert tensor["shape"] == [1, 3]
    metadata = served.server.get("/seldon/default/iris/metadata").json()
    assert metadata["platform"] == "sklearn"


def test_irises_need_no_archive_and_a_method_is_a_parameter(served: Served, is_full: bool) -> None:
    if not is_full:
        pytest.skip("loads scikit-learn once more; runs with --full")
    query = f"model_name=classes&prepackaged=sklearn&model_uri={served.iris}&initial_workers=1"
    parameters = '[{"name":"method","value":"predict","type":"STRING"}]'
    reply = served.server.register(f"{query}&parameters={parameters}")
    assert reply.status == 200, reply
    answer = served.predict("classes", IRIS / "request.json")
    assert answer["data"] == {"names": [], "ndarray": [0, 2]}


def test_a_row_that_does_not_fit_is_the_clients_fault(served: Served) -> None:
    route = "/seldon/default/iris/api/v1.0/predictions"
    reply = served.server.post(route, b'{"data": {"ndarray": [[1, 2]]}}')
    assert reply.status == 400
    assert reply.json()["status"]["info"] == "a row has 2 values; the model takes 4"
