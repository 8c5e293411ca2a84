"""What a model server of MLRun is loaded as: its archive, the settings, its registration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from archiver import Manifest
from mms.errors import BadRequest
from mms.limits.networks import Networks
from mms.serving.options import RegisterOptions
from mms.serving.registration.model_options import ModelOptions, model_options
from mms.settings import Settings

SERVER_MEMBERS = {
    "mlrun_shim": "auto",
    "strict_status": False,
    "nan_policy": "null",
    "data_url": False,
    "body_operation": False,
}


def options_of(extensions: dict[str, Any] | None = None, **asked: Any) -> ModelOptions:
    manifest = {"model": {"extensions": {"interface": "mlrun", **(extensions or {})}}}
    return model_options(RegisterOptions.of_members({"url": "m.mar", **asked}), Manifest(manifest))


def loaded(options: ModelOptions, files: Path | None = None, **settings: Any) -> dict[str, Any]:
    return options.load_options(Settings(**settings), files)


def test_a_model_server_gets_the_settings_of_its_kind_alone() -> None:
    assert loaded(options_of()) == SERVER_MEMBERS


def test_settings_reach_the_worker() -> None:
    found = loaded(
        options_of(),
        mlrun_shim="real",
        strict_status=True,
        nan_policy="keep",
        mlrun_data_url=True,
        allowed_urls=("https://data/.*",),
        allowed_private_addresses=Networks.parse("loopback,10.0.0.0/8"),
        mlrun_body_operation=True,
    )
    assert found == {
        "mlrun_shim": "real",
        "strict_status": True,
        "nan_policy": "keep",
        "data_url": {
            "allowed_urls": ["https://data/.*"],
            "allowed_private_addresses": "loopback,10.0.0.0/8",
            "max_bytes": 6553500,
        },
        "body_operation": True,
    }


def test_what_a_registration_says_goes_before_the_settings() -> None:
    members = {"nan_policy": "error", "load_mode": "async", "class_args": {"a": 1}}
    assert loaded(options_of(mlrun=members)) == {**SERVER_MEMBERS, **members}


def test_a_code_whose_interface_is_not_known_gets_the_members_of_all() -> None:
    options = model_options(RegisterOptions("m.mar"), Manifest({}))
    assert {"seldon_shim", "mlrun_shim", "row_batching", "row_wise"} - set(loaded(options)) == {
        "row_wise"
    }


def test_parameters_of_the_registration_replace_those_of_the_archive() -> None:
    said = [
        {"name": "a", "value": "1", "type": "INT"},
        {"name": "b", "value": "[1]", "type": "JSON"},
    ]
    asked = [{"name": "a", "value": "{}", "type": "JSON"}]
    options = options_of({"parameters": said}, parameters=asked)
    assert loaded(options)["parameters"] == [said[1], asked[0]]


def test_the_type_json_is_refused_for_a_component() -> None:
    asked = [{"name": "a", "value": "{}", "type": "JSON"}]
    with pytest.raises(BadRequest, match="'JSON', which is not one of INT"):
        options_of({"interface": "seldon"}, parameters=asked)


@pytest.mark.parametrize(
    ("said", "asked", "files", "expected"),
    [
        (None, None, None, None),
        ("s3://said", None, None, "s3://said"),
        ("s3://said", "asked", None, "asked"),
        ("s3://said", "asked", "/fetched", "/fetched"),
    ],
)
def test_the_model_path_is_what_was_fetched_else_asked_for_else_the_archives(
    said: str | None, asked: str | None, files: str | None, expected: str | None
) -> None:
    options = options_of(
        {"model_path": said} if said else {}, mlrun={"model_path": asked} if asked else {}
    )
    found = loaded(options, Path(files) if files else None)
    assert found.get("model_path") == expected


def test_row_batching_is_row_wise_for_a_model_server() -> None:
    assert loaded(options_of(row_batching=True))["row_wise"] is True


def test_a_graph_of_its_own_makes_a_model_one_of_workers() -> None:
    assert options_of(mlrun={"graph": {"kind": "router"}}).is_worker_graph
    assert not options_of().is_worker_graph


def test_a_prepackaged_server_is_no_model_server_of_mlrun() -> None:
    with pytest.raises(BadRequest, match="has the interface seldon"):
        options_of(prepackaged="sklearn", interface="mlrun")


def test_the_header_that_names_another_path_is_the_front_s_to_follow() -> None:
    assert "event_headers" not in loaded(options_of(), mlrun_event_headers=True)
