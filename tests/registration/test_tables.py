"""The tables of parameters: what they declare holds everywhere that is made of them."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import fields
from typing import Any

import pytest
from click.testing import CliRunner

from mms.cli.mms import main
from mms.http.apis.registration_parameters import registration_of
from mms.http.parameters import Parameters
from mms.registration import (
    REGISTER,
    SCALE,
    InvalidValue,
    Key,
    Options,
    Parameter,
    ScaleParameters,
    parameters_of,
)
from mms.registration.parameter import parameter_of
from mms.serving import RegisterOptions
from mms.settings import Settings

ALL = parameters_of(RegisterOptions)
#: A value of each parameter in a JSON body, by its kind's name, where its words and numbers are none.
VALUES: dict[str, Any] = {
    "truth": True,
    "`true` or `false`": True,
    "integer": 3,
    "number": 2.5,
    "64 hexadecimal digits": "0" * 64,
    "`0,2`, or a list in JSON": [0, 2],
    "JSON": [{"name": "n", "value": "5", "type": "INT"}],
    "JSON object": {"a": [1]},
    "JSON object of resources": {"num_gpus": 1.0, "resources": {"fast_disk": 2.0}},
    "JSON object for Ray": {"pip": ["numpy"], "env_vars": {"A": "b"}},
}


def value_of(declared: Parameter) -> Any:
    if declared.kind.words:
        return declared.kind.words[-1]
    if declared.name == "runtime":
        return "python3"
    return VALUES.get(declared.kind.name, "text")


def everything() -> RegisterOptions:
    given = Parameters({declared.name: value_of(declared) for declared in ALL})
    return registration_of(given, is_json=True)


def test_a_name_and_a_key_stand_for_one_parameter() -> None:
    names = [name for declared in ALL for name in (declared.name, *declared.aliases)]
    keys = [key.name for declared in ALL for key in declared.keys]
    shown = [declared.shown.name for declared in ALL if declared.shown]
    for texts in (names, keys, shown):
        assert [text for text, count in Counter(texts).items() if count > 1] == []


def members_without_value(options: Options, path: str = "") -> list[str]:
    found = []
    for member in fields(options):
        value = getattr(options, member.name)
        if isinstance(value, Options):
            found += members_without_value(value, f"{member.name}.")
        elif parameter_of(member) is not None and value in (None, "", ()):
            found.append(path + member.name)
    return found


def test_each_parameter_of_a_call_reaches_its_member() -> None:
    assert members_without_value(everything()) == []


def test_what_a_state_file_keeps_comes_back_the_same() -> None:
    options = everything()
    kept = json.loads(json.dumps(options.kept_members()))
    again = RegisterOptions.of_members({**kept, "gpu_ids": tuple(kept["gpu_ids"])})
    assert again == RegisterOptions.of_members(
        {
            **{member.name: getattr(options, member.name) for member in fields(options)},
            "initial_workers": None,
            "max_worker": None,
            "synchronous": True,
        }
    )


def test_members_as_state_files_had_them_before_are_read() -> None:
    old = {
        "url": "m",
        "service_type": "ROUTER",
        "serving_spec": {"graph": {}},
        "is_from_operator": True,
    }
    options = RegisterOptions.of_members({**old, "mlrun": {"load_mode": "async"}})
    assert (options.url, options.is_from_operator) == ("m", True)
    assert options.seldon.service_type == "ROUTER"
    assert (options.mlrun.load_mode, options.mlrun.serving_spec) == ("async", {"graph": {}})
    with pytest.raises(ValueError, match="there is no option a, b"):
        RegisterOptions.of_members({"b": 1, "a": 2})


@pytest.mark.parametrize(("command", "route"), [("register", REGISTER), ("scale", SCALE)])
def test_everything_that_the_api_takes_the_command_takes(command: str, route: str) -> None:
    told = CliRunner().invoke(main, ["models", command, "--help"], terminal_width=400).output
    words = told.replace(",", " ").split()
    taken = parameters_of(RegisterOptions, route)
    if route == SCALE:
        taken += parameters_of(ScaleParameters, route)
    without = {declared.name for declared in taken if not declared.command_flag}
    # These are the commands' arguments.
    assert without <= {"url", "min_worker"}
    for declared in taken:
        for flag in filter(None, declared.command_flag.split("/")):
            assert flag in words


def test_a_description_has_the_unit_and_the_default_of_its_route() -> None:
    declared = {parameter.name: parameter for parameter in ALL}
    timeout, size = declared["response_timeout"], declared["batch_size"]
    assert timeout.text(is_json=False).endswith("In minutes.")
    assert timeout.text(is_json=True).endswith("In seconds.")
    assert (size.default_of(REGISTER), size.default_of(SCALE)) == (1, None)


@pytest.mark.parametrize("declared", [p for p in ALL if p.setting], ids=lambda p: p.name)
def test_the_setting_that_gives_a_default_exists(declared: Parameter) -> None:
    Settings().get(declared.setting)


KEYS = [(declared, key) for declared in ALL for key in declared.keys]


@pytest.mark.parametrize(("declared", "key"), KEYS, ids=lambda value: value.name)
def test_a_file_is_read_exactly_and_says_what_would_be_right(declared: Parameter, key: Key) -> None:
    declared.kind.convert_exactly(value_of(declared), key.unit)
    with pytest.raises(InvalidValue):
        declared.kind.convert_exactly("nonsense", key.unit)


def test_defaults_are_the_servers_where_a_registration_says_nothing() -> None:
    settings = Settings(request_timeout_s=7.0, job_queue_size=5)
    effective = RegisterOptions("m", batch_size=3).with_defaults(settings)
    assert (effective.batch_size, effective.max_batch_delay_ms, effective.retry) == (3, 100, True)
    assert (effective.request_timeout_s, effective.job_queue_size) == (7.0, 5)


def test_the_table_says_which_changes_replace_workers() -> None:
    options = RegisterOptions("m.mar", batch_size=2, max_batch_delay_ms=5, retry=False)
    assert options.for_new_workers() == {"batch_size": 2, "threads_per_worker": None}
