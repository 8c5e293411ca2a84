"""What a server says of values that are well-formed and odd: each is obeyed, refused or warned about."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from mms.errors import ConfigurationError
from mms.settings import Settings, all_options, check_settings

Load = Callable[..., Settings]

#: Texts that are nobody's wish, by kind of absurdity.
ABSURD = {
    "zero": "0",
    "negative": "-1",
    "huge": "1" + "0" * 30,
    "not a number": "nan",
    "wrong unit": "30s",
    "blank around": " x ",
    "wrong case": "TRUE ",
    "missing path": "/no/such/place",
    "control character": "a\\nb",
    "not ASCII": "é",
}
_NUMBERS = {"zero", "huge"}
_SWITCHES = {"wrong case"}
_TEXTS = {"zero", "negative", "huge", "not a number", "wrong unit", "missing path", "not ASCII"}
#: What is obeyed without a word, by the name of the option's kind.
OBEYED = {
    "integer": _NUMBERS,
    "number": _NUMBERS,
    "auto or count": {"zero"},
    "true or false": _SWITCHES,
    "on or off": _SWITCHES,
    "text": _TEXTS,
    "handler": _TEXTS - {"missing path"},
    "words": set(ABSURD),
    "header": _NUMBERS | {"negative", "not a number", "wrong unit", "blank around", "wrong case"},
    "path": {"missing path"},
    "names": set(ABSURD),
    "regular expression": set(ABSURD),
    "regular expressions": set(ABSURD),
    "user": {"zero"},
}


def _outcome(load: Load, text: str) -> tuple[str, str]:
    """Whether the settings of a text are refused or taken, and the reason or all warnings, a line each."""
    try:
        settings = load(text)
        check_settings(settings)
    except ConfigurationError as error:
        return "refused", str(error)
    return "warned", "\n".join(t for level, t in settings.notices if level == logging.WARNING)


@pytest.mark.parametrize("name", all_options())
def test_an_absurd_value_is_obeyed_refused_or_warned_about_in_one_line_that_names_it(
    load: Load, name: str
) -> None:
    silent = set()
    for kind, text in ABSURD.items():
        _, told = _outcome(load, f"{name}={text}")
        if not told:
            silent.add(kind)
            continue
        for line in told.split("\n"):
            assert f"config.properties:1: {name}={text.lstrip()}" in line
    if name == "default_response_timeout_seconds":
        silent.remove("negative")  # MMS's own default
    assert silent <= OBEYED.get(all_options()[name].kind.name, set())


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("default_response_timeout=0", "leaves no time for a load or a batch; it should be 1 or"),
        ("default_response_timeout_seconds=0", "leaves no time for a load or a batch"),
        ("worker_start_timeout_s=0", "should be a number above 0, in seconds"),
        ("head_timeout_s=30s", "should be a number above 0, in seconds"),
        ("max_request_size=6M", "should be a whole number from 0 on, in bytes"),
        ("max_response_size=0", "should be a whole number from 1 on, in bytes"),
        ("default_workers_per_model=1001", "is more than max_workers_per_model=1000"),
        (
            "cors_allowed_origin=a\\r\\nb: c",
            r"=a\r\nb: c should be *, null, or scheme://host[:port]",
        ),
        (
            "default_service_handler=:handle",
            "should be module:function, or /path/to/file.py:function",
        ),
        ("seldon_metrics_path=metrics", "should be a path such as /metrics"),
        ("state_file=folder", "is a folder, not a file"),
        ("state_file=file/x", "file is not a folder"),
        ("model_cache=file", "file is not a folder"),
    ],
)
def test_a_value_that_no_server_can_run_with_is_refused(
    load: Load, tmp_path: Path, text: str, told: str
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    outcome, reason = _outcome(load, text)
    assert outcome == "refused"
    assert told in reason


@pytest.mark.parametrize(
    "name",
    [
        *("state_file", "keys_file", "keystore", "private_key_file", "certificate_file"),
        *(
            "tls_client_ca",
            "worker_ca_certificate",
            "worker_ca_key",
            "token_file",
            "metrics_config",
        ),
    ],
)
def test_a_pipe_or_a_device_in_the_place_of_a_file_is_refused_and_not_read(
    load: Load, tmp_path: Path, name: str
) -> None:
    os.mkfifo(tmp_path / "pipe")
    others = "private_key_file=k\ncertificate_file=c\n" if name.endswith("_file") else ""
    for path in ("pipe", "/dev/zero"):
        outcome, reason = _outcome(load, f"{others}{name}={path}")
        told = f"{name}={path} cannot be used: it is a pipe or a device, not a file"
        assert (outcome, told in reason) == ("refused", True), reason


@pytest.mark.parametrize("name", ["state_file", "model_cache"])
def test_a_folder_that_cannot_be_written_is_refused(
    load: Load, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "locked").mkdir()
    # Root, which tests may run as, may write to any folder.
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path / "locked")
    outcome, reason = _outcome(load, f"{name}=locked/below/x")
    assert (outcome, "locked must be writable" in reason) == ("refused", True)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("cors_allowed_origin=a b", "is no origin, so no browser accepts it"),
        ("cors_allowed_origin=https://a.example,https://b.example", "is no origin"),
        ("cors_allowed_methods=GET;POST", "is no list of words with commas between them"),
        ("cors_allowed_headers=x y", "is no list of words with commas between them"),
        ("plugins_path=/nowhere", "is not an existing folder, so no plugins are loaded from it"),
        ("plugins_path=file", "is not an existing folder, so no plugins are loaded from it"),
        ("plugins_path=jars/*", "has JAR files, which have no effect"),
        ("model_store=/nowhere", "is not an existing folder"),
        ("model_store=jars ", "begins or ends with a blank; jars exists"),
        ("model_store=model", "is itself a model"),
        (
            "default_service_handler=/nowhere/x.py:handle",
            "names the file /nowhere/x.py, which does",
        ),
        ("default_service_handler=/nowhere/x:handle", "names the file /nowhere/x.py, which does"),
        ("default_model=iris ", "begins or ends with a blank, which belongs to it"),
        ("default_model=C:\\new", r"=C:\new has a control character; in this file a backslash is"),
        ("keystore=/nowhere", "without effect: no address begins with https://"),
        (
            "private_key_file=k\ncertificate_file=c",
            "without effect: no address begins with https://",
        ),
        (
            "trusted_keys=/nowhere",
            "without effect on what is served, as require_signature is false",
        ),
    ],
)
def test_a_value_that_is_odd_is_taken_with_a_warning(
    load: Load, tmp_path: Path, text: str, told: str
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "model" / "MAR-INF").mkdir(parents=True)
    (tmp_path / "jars").mkdir()
    (tmp_path / "jars" / "endpoint.jar").touch()
    outcome, warning = _outcome(load, text)
    assert outcome == "warned"
    assert told in warning


@pytest.mark.parametrize(
    "text",
    [
        "",
        "cors_allowed_origin=*",
        "cors_allowed_origin=https://a.example:8443\ncors_allowed_methods=GET, POST\ncors_allowed_headers=x-a",
        "state_file=new/below/state\nmodel_cache=cache",
        "default_service_handler=service:handle",
        "default_response_timeout=0\ndefault_response_timeout_seconds=5",
        "debug=true\ndefault_response_timeout=0",
        "default_workers_per_model=2000\nmax_workers_per_model=2000",
        "keystore=k\ninference_address=https://127.0.0.1:8443",
    ],
)
def test_what_makes_sense_is_taken_without_a_word(load: Load, text: str) -> None:
    assert _outcome(load, text) == ("warned", "")


def test_a_default_handler_that_is_not_installed_is_said_to_be_needed_in_each_archive(
    load: Load,
) -> None:
    def infos(handler: str) -> list[str]:
        settings = load(f"default_service_handler={handler}")
        check_settings(settings)
        return [text for level, text in settings.notices if level == logging.INFO]

    (told,) = infos("nothing:handle")
    assert told.endswith("no module nothing is installed, so each archive needs its own")
    assert infos("mms.model_service.x:handle") == infos("sub/service.py:handle") == []
