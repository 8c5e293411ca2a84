"""What a model server of MLRun is loaded as: its archive, the settings, its registration."""

from __future__ import annotations

from dataclasses import fields
from types import SimpleNamespace
from typing import Any

import pytest
from support.settings import settings_of

from archiver import Manifest
from mms.errors import BadRequest
from mms.interfaces.mlrun.front.load_part import serving_load
from mms.interfaces.mlrun.load import ServingLoad
from mms.interfaces.mlrun.registration import ServerParameters
from mms.limits.networks import Networks
from mms.serving.options import RegisterOptions
from mms.serving.registration.model_options import ModelOptions, model_options
from mms.wire import UrlRules


def options_of(extensions: dict[str, Any] | None = None, **asked: Any) -> ModelOptions:
    manifest = {"model": {"extensions": {"interface": "mlrun", **(extensions or {})}}}
    return model_options(RegisterOptions.of_members({"url": "m.mar", **asked}), Manifest(manifest))


def loaded(options: ModelOptions, **settings: Any) -> ServingLoad:
    served: Any = SimpleNamespace(options=options)
    return serving_load(served, settings_of(**settings), {})


def test_what_nobody_says_is_as_a_model_server_has_it() -> None:
    assert loaded(options_of()) == ServingLoad()


def test_settings_reach_the_worker() -> None:
    found = loaded(
        options_of(),
        strict_status=True,
        nan_policy="keep",
        mlrun_data_url=True,
        allowed_urls=("https://data/.*",),
        allowed_private_addresses=Networks.parse("loopback,10.0.0.0/8"),
        mlrun_body_operation=True,
    )
    assert found == ServingLoad(
        strict_status=True,
        nan_policy="keep",
        data_url=UrlRules(["https://data/.*"], "loopback,10.0.0.0/8", max_bytes=6553500),
        body_operation=True,
    )


def test_what_a_registration_says_goes_before_the_settings() -> None:
    members: dict[str, Any] = {
        "nan_policy": "error",
        "load_mode": "async",
        "class_args": {"a": 1},
    }
    assert loaded(options_of(mlrun=members), nan_policy="keep") == ServingLoad(**members)


def test_each_member_that_a_registration_may_say_has_its_place_in_the_load() -> None:
    said = {member.name for member in fields(ServerParameters)} - {"serving_spec"}
    assert said <= {member.name for member in fields(ServingLoad)}


def test_parameters_of_the_registration_replace_those_of_the_archive() -> None:
    said = [
        {"name": "a", "value": "1", "type": "INT"},
        {"name": "b", "value": "[1]", "type": "JSON"},
    ]
    asked = [{"name": "a", "value": "{}", "type": "JSON"}]
    options = options_of({"parameters": said}, parameters=asked)
    assert options.component.parameters == (said[1], asked[0])


def test_the_type_json_is_refused_for_a_component() -> None:
    asked = [{"name": "a", "value": "{}", "type": "JSON"}]
    with pytest.raises(BadRequest, match="'JSON', which is not one of INT"):
        options_of({"interface": "seldon"}, parameters=asked)


@pytest.mark.parametrize(
    ("said", "asked", "expected"),
    [(None, None, None), ("s3://said", None, "s3://said"), ("s3://said", "asked", "asked")],
)
def test_the_model_path_is_what_was_asked_for_else_the_archives(
    said: str | None, asked: str | None, expected: str | None
) -> None:
    options = options_of(
        {"model_path": said} if said else {}, mlrun={"model_path": asked} if asked else {}
    )
    assert loaded(options).model_path == expected


def test_row_batching_is_row_wise_for_a_model_server() -> None:
    assert loaded(options_of(row_batching=True)).row_wise is True


def test_a_graph_of_its_own_makes_a_model_one_of_workers() -> None:
    assert options_of(mlrun={"graph": {"kind": "router"}}).is_worker_graph
    assert not options_of().is_worker_graph


def test_a_prepackaged_server_is_no_model_server_of_mlrun() -> None:
    with pytest.raises(BadRequest, match="has the interface seldon"):
        options_of(prepackaged="sklearn", interface="mlrun")
