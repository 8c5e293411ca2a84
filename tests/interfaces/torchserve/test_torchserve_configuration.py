"""How `torchserve` is configured, and its tokens."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from mms.errors import BadRequest, ConfigurationError
from mms.interfaces.torchserve.front.prediction_form import form_of
from mms.interfaces.torchserve.front.tokens import InvalidToken, TokenRing
from mms.interfaces.torchserve.settings import TorchServeSettings, is_management_safe
from mms.observe import LogOptions
from mms.processes.launch_options import LaunchOptions
from mms.settings import Settings, load_settings

Load = Callable[..., Settings]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """`load(text, environ, **options)`; the text is that of the file that the command names."""
    monkeypatch.chdir(tmp_path)

    def load(text: str = "", environ: dict[str, str] | None = None, **options: object) -> Settings:
        (tmp_path / "ts.properties").write_text(text)
        named = LaunchOptions(mms_config="ts.properties", stands_for="torchserve", **options)  # type: ignore[arg-type]
        return load_settings(named, environ=environ or {})

    return load


def test_what_nobody_sets_is_as_in_torchserve(load: Load) -> None:
    settings = load()
    own = settings.of(TorchServeSettings)
    addresses = [settings.inference_address, settings.management_address, own.metrics_address]
    assert [str(address) for address in addresses] == [
        "http://127.0.0.1:8080",
        "http://127.0.0.1:8081",
        "http://127.0.0.1:8082",
    ]
    grpc = [str(settings.grpc_address), str(own.grpc_management_listener)]
    assert grpc == ["grpc://127.0.0.1:7070", "grpc://127.0.0.1:7071"]
    assert (settings.response_timeout_s, settings.load_timeout_s) == (120, 120)
    assert (settings.job_queue_size, settings.default_version) == (100, "1.0")
    assert settings.sources == {}


def test_its_keys_have_its_units_and_hosts_without_ports(load: Load) -> None:
    settings = load(
        "default_response_timeout=7\ndefault_startup_timeout=9\ngrpc_inference_address=0.0.0.0\n"
        "grpc_inference_port=1234\nenable_grpc_ssl=true\nenable_metrics_api=false\n"
    )
    assert (settings.response_timeout_s, settings.load_timeout_s) == (7, 9)
    assert str(settings.grpc_address) == "grpcs://0.0.0.0:1234"
    assert settings.of(TorchServeSettings).metrics_address is None
    with pytest.raises(ConfigurationError, match="grpc_management_address=h:1 should be"):
        load("grpc_management_address=h:1\n")


def test_its_variables_beat_the_file_and_the_command_where_the_file_allows_them(load: Load) -> None:
    environ = {
        "TS_DEFAULT_RESPONSE_TIMEOUT": "5",
        "TS_ENABLE_MODEL_API": "false",
        "TS_ALLOWED_URLS": "https://a/.*",
        "MMS_JOB_QUEUE_SIZE": "9",
    }
    given = {"enable_model_api": "true"}
    settings = load("enable_envvars_config=true\n", environ, settings=given)
    assert settings.response_timeout_s == 5
    assert not settings.of(TorchServeSettings).enable_model_api
    assert (settings.allowed_urls, settings.job_queue_size) == (None, 100)
    allowed = load("enable_envvars_config=true\nuse_env_allowed_urls=true\n", environ)
    assert allowed.allowed_urls == ("https://a/.*",)
    idle = load("", environ, settings=given)
    assert idle.of(TorchServeSettings).enable_model_api
    assert any("TS_ENABLE_MODEL_API" in text for _, text in idle.notices)


@pytest.mark.parametrize(
    ("text", "has_lines"),
    [
        ("", True),
        ("metrics_mode=log\n", True),
        ("metrics_mode=legacy\n", True),
        ("metrics_mode=prometheus\n", False),
        ("metrics_mode=prometheus\nmetrics=true\n", True),
    ],
)
def test_metrics_are_in_the_log_unless_they_are_for_prometheus_alone(
    load: Load, text: str, has_lines: bool
) -> None:
    settings = load(text)
    assert LogOptions.of(settings, {}).has_metrics is has_lines
    assert LogOptions.of(settings, {}).file_names["mms_log.log"] == "ts_log.log"


def test_its_own_variable_names_the_file(load: Load, tmp_path: Path) -> None:
    (tmp_path / "other.properties").write_text("job_queue_size=3\n")
    assert load("", {"TS_CONFIG_FILE": "other.properties"}).job_queue_size == 3
    assert load("", {"MMS_CONFIG_FILE": "other.properties"}).job_queue_size == 100


def test_a_snapshot_s_models_are_loaded_beside_those_of_the_command(load: Load) -> None:
    versions = {"1.0": {"marName": "a.mar"}, "2.0": {"marName": "b.mar", "defaultVersion": True}}
    text = f"model_snapshot={json.dumps({'models': {'m': versions}})}\n"
    settings = load(text, models=["other=c.mar", "a.mar"])
    assert settings.startup_models == [("m", "b.mar"), ("m", "a.mar"), ("other", "c.mar")]
    assert settings.startup_options == {
        ("m", row["marName"]): {**row, "modelVersion": version} for version, row in versions.items()
    }
    odd = {"a,ALL,x=http://h/x.mar": {"1.0": {"marName": "a,b.mar"}}}
    settings = load(f"model_snapshot={json.dumps({'models': odd})}\n")
    assert settings.startup_models == [("a,ALL,x=http://h/x.mar", "a,b.mar")]
    with pytest.raises(ConfigurationError, match="is not the JSON of a snapshot"):
        load('model_snapshot={"models": 3}\n')


@pytest.mark.parametrize(
    ("text", "is_safe"),
    [
        ("", True),
        ("disable_token_authorization=true\n", True),
        ("enable_model_api=true\n", True),
        ("disable_token_authorization=true\nenable_model_api=true\n", False),
    ],
)
def test_management_is_safe_where_tokens_or_the_switch_keep_code_out(
    load: Load, text: str, is_safe: bool
) -> None:
    assert is_management_safe(load(text)) is is_safe


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def tokens_of(path: Path) -> dict[str, bytes]:
    return {kind: each["key"].encode() for kind, each in json.loads(path.read_text()).items()}


def test_a_token_counts_for_its_time_and_until_it_is_made_anew(tmp_path: Path) -> None:
    clock, path = Clock(), tmp_path / "keys.json"
    ring = TokenRing(path, 60, clock)
    former = tokens_of(path)
    key = ring.find(former["inference"])
    assert key is not None and ring.current(key) == key
    assert ring.find(former["API"]) is None
    assert not ring.refresh()
    for presented in (None, former["management"], b"wrong"):
        with pytest.raises(InvalidToken):
            ring.rotate("inference", presented)
    with pytest.raises(BadRequest):
        ring.rotate("API", former["API"])
    ring.rotate("inference", former["API"])
    assert ring.refresh() and ring.current(key) is None
    now = tokens_of(path)
    assert ring.find(former["inference"]) is None
    assert ring.find(now["inference"]) is not None
    assert now["management"] == former["management"]
    clock.now += 60
    assert ring.refresh() and not ring.refresh()
    assert ring.find(now["inference"]) is None
    assert sorted(tmp_path.iterdir()) == [path]


def test_a_token_stays_where_the_file_cannot_tell_a_new_one(tmp_path: Path) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    ring = TokenRing(folder / "keys.json", 60)
    former = tokens_of(folder / "keys.json")
    folder.rename(tmp_path / "gone")
    with pytest.raises(FileNotFoundError):
        ring.rotate("management", former["API"])
    assert ring.find(former["management"]) is not None
    (tmp_path / "gone").rename(folder)
    ring.rotate("inference", former["API"])
    assert tokens_of(folder / "keys.json")["management"] == former["management"]


def test_a_file_of_tokens_that_cannot_be_written_ends_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="--disable-token-auth"):
        TokenRing(tmp_path / "absent" / "keys.json", 60)


def test_inputs_by_name_are_a_body_that_workers_read() -> None:
    assert form_of({"body": b"\x00"}) == (b"", b"\x00")
    content_type, body = form_of({"data": b"a", "x": b"\r\n--"})
    boundary = content_type.partition(b"boundary=")[2]
    assert body.count(b"--" + boundary) == 3
    assert form_of({"a b": b"\xff="})[1] == b"a%20b=%FF%3D"
    with pytest.raises(BadRequest, match="letters, digits"):
        form_of({"a b": b"x" * 70_000})
