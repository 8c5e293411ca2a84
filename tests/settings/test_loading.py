"""How settings come together from the file, the command line and variables."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from mms.errors import ConfigurationError
from mms.launch_options import LaunchOptions
from mms.settings import OPTIONS, Settings, load_settings, packaged_config

Load = Callable[..., Settings]

SAGEMAKER = {
    "SAGEMAKER_MODEL_STORE": "/store",
    "SAGEMAKER_BIND_TO_PORT": "9000",
    "SAGEMAKER_RESPONSE_TIMEOUT": "3",
    "SAGEMAKER_NUM_MODEL_WORKERS": "2",
    "SAGEMAKER_HANDLER": "service:handle",
    "SAGEMAKER_MAX_RESPONSE_SIZE": "4000",
    "SAGEMAKER_MAX_REQUEST_SIZE": "3000",
}


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a file may be put; the current folder is an empty one."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "etc"
    folder.mkdir()
    return folder / "mms.properties"


@pytest.fixture
def load(config: Path) -> Load:
    def load(
        text: str = "",
        *,
        environ: Mapping[str, str] | None = None,
        model_store: str | None = None,
        models: list[str] | None = None,
    ) -> Settings:
        config.write_bytes(text.encode("iso-8859-1"))
        options = LaunchOptions(str(config), model_store=model_store, models=models or [])
        return load_settings(options, environ=environ or {})

    return load


def refusal(load: Load, text: str, **arguments: object) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load(text, **arguments)
    return str(caught.value)


def warnings(settings: Settings) -> list[str]:
    return [text for level, text in settings.notices if level == logging.WARNING]


# Values


def test_without_a_file_all_options_have_their_defaults(config: Path) -> None:
    settings = load_settings(LaunchOptions(), environ={})
    assert settings.config_file is None
    assert settings.sources == {}
    assert str(settings.inference_address) == "http://127.0.0.1:8080"
    assert settings.job_queue_size == 100
    assert settings.response_timeout_s == 7200
    assert settings.initialize_errors == "fail"


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        ("job_queue_size= 7 ", "job_queue_size", 7),
        ("decode_input_request=TRUE", "decode_input_request", True),
        ("preload_model=True", "preload_model", True),
        ("lane=OFF", "lane", False),
        ("drain_timeout_s=1.5", "drain_timeout_s", 1.5),
        ("batch_policy=Fixed", "batch_policy", "fixed"),
        ("allowed_urls=https://a/.* , file:.*", "allowed_urls", ("https://a/.*", "file:.*")),
        ("model_store=/a b ", "model_store", "/a b "),
        ("cors_allowed_origin=", "cors_allowed_origin", None),
        ("job_queue_size=", "job_queue_size", 100),
    ],
)
def test_a_value_is_converted(load: Load, line: str, name: str, value: object) -> None:
    assert getattr(load(line), name) == value


def test_the_default_of_every_option_is_what_its_own_text_is_read_as(load: Load) -> None:
    defaults = Settings()
    for name, option in OPTIONS.items():
        if option.default:
            assert getattr(load(f"{name}={option.default}"), name) == getattr(defaults, name), name


def test_the_last_entry_of_a_key_counts_whatever_the_others_say(load: Load) -> None:
    assert (
        load("job_queue_size=many\njob_queue_size=$$ABSENT$$\njob_queue_size=5").job_queue_size == 5
    )


def test_a_boolean_that_is_neither_is_false_and_warned_about(load: Load) -> None:
    settings = load("decode_input_request=yes")
    assert settings.decode_input_request is False
    (warning,) = warnings(settings)
    assert "decode_input_request=yes counts as false" in warning


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("job_queue_size=many", "a whole number from 1 on"),
        ("job_queue_size=0", "a whole number from 1 on"),
        ("job_queue_size=1_000", "a whole number from 1 on"),
        ("max_request_size=-1", "a whole number from 0 on"),
        ("default_response_timeout=1.5", "a whole number from 0 on"),
        ("drain_timeout_s=nan", "a number from 0 on"),
        ("drain_timeout_s=-1", "a number from 0 on"),
        ("lane=maybe", "on or off"),
        ("batch_policy=eager", "adaptive or fixed"),
        ("initialize_errors=perhaps", "fail or ignore"),
        ("inference_address=ftp://h", "http://host:port, https://host:port or unix:/path"),
        ("blacklist_env_vars=(", "a regular expression"),
        ("allowed_urls=a,(", "regular expressions with commas between them"),
    ],
)
def test_a_wrong_value_is_one_line_with_file_line_key_and_what_would_be_right(
    load: Load, config: Path, line: str, wanted: str
) -> None:
    text = refusal(load, f"# the first line\n\n{line}")
    assert text.startswith("Invalid configuration: ")
    assert text.endswith(f"{config}:3: {line} should be {wanted}")
    assert "\n" not in text


def test_a_wrong_address_has_the_words_of_mms_first(load: Load) -> None:
    text = refusal(load, "inference_address=ftp://h")
    assert text.startswith("Invalid configuration: Invalid binding address: ftp://h; ")
    text = refusal(load, "inference_address=http://h:70000")
    assert text.startswith("Invalid configuration: Invalid port number: http://h:70000; ")


def test_a_malformed_escape_names_file_and_line(load: Load, config: Path) -> None:
    text = refusal(load, "a=1\nb=\\u12")
    assert text.startswith(f"Invalid configuration: {config}: line 2: malformed \\u12")


def test_an_unknown_key_is_a_warning_with_the_nearest_known_one(load: Load, config: Path) -> None:
    settings = load("a_thing=1\njob_queue_sise=7")
    assert warnings(settings) == [
        f"{config}:1: unknown setting a_thing has no effect",
        f"{config}:2: unknown setting job_queue_sise has no effect; did you mean job_queue_size?",
    ]


def test_plugins_see_all_keys_as_text(load: Load) -> None:
    assert load("own_key=x\njob_queue_size= 7").raw == {"own_key": "x", "job_queue_size": "7"}


def test_options_of_the_java_server_are_named_in_one_line(load: Load) -> None:
    settings = load("vmargs=-Xmx1g\nio_ratio=50\njob_queue_size=1")
    assert [text for level, text in settings.notices if level == logging.INFO] == [
        "vmargs, io_ratio are settings of the Java server, without effect here"
    ]


def test_a_key_without_its_certificate_is_refused(load: Load, config: Path) -> None:
    text = refusal(load, "private_key_file=/key.pem")
    assert text.startswith(f"Invalid configuration: {config}:1: private_key_file=/key.pem: ")
    assert "both or none" in text


def test_a_unix_socket_needs_native_io(load: Load) -> None:
    assert refusal(load, "use_native_io=false\nmanagement_address=unix:/a") == (
        "Invalid configuration: unix domain socket requires use_native_io set to true."
    )


# Variables in values


def test_variables_are_put_into_values(load: Load) -> None:
    settings = load("model_store=/a/$$ONE_1$$/$$TWO$$", environ={"ONE_1": "1", "TWO": "2"})
    assert settings.model_store == "/a/1/2"


@pytest.mark.parametrize("value", ["5$", "\\1", "\\g<0>", "$$OTHER$$", "a\\u0041"])
def test_what_a_variable_holds_is_taken_as_it_is(load: Load, value: str) -> None:
    assert load("model_store=$$ONE$$", environ={"ONE": value, "OTHER": "x"}).model_store == value


@pytest.mark.parametrize("value", ["$ONE$", "$$O$$", "$$", "$$ONE"])
def test_what_only_resembles_a_variable_stays(load: Load, value: str) -> None:
    assert load(f"model_store={value}").model_store == value


def test_a_variable_that_is_not_set_is_refused_with_its_name_and_place(
    load: Load, config: Path
) -> None:
    text = refusal(load, "\nmodel_store=$$ABSENT$$")
    assert text.startswith("Invalid configuration: Invalid Environment Variable ABSENT")
    assert f"{config}:2: model_store=$$ABSENT$$" in text


# Precedence


def test_the_command_line_beats_the_file(load: Load) -> None:
    settings = load(
        "model_store=/file\nload_models=a", model_store="/flag", models=["b", "c=http://h/d.mar"]
    )
    assert settings.model_store == "/flag"
    assert settings.startup_models == [(None, "b"), ("c", "http://h/d.mar")]
    assert settings.sources == {"model_store": "--model-store", "load_models": "--models"}


def test_variables_beat_the_command_line_where_the_file_allows_them(load: Load) -> None:
    text = "enable_envvars_config=true\nmodel_store=/file"
    environ = {"MMS_MODEL_STORE": "/variable"}
    settings = load(text, environ=environ, model_store="/flag")
    assert settings.model_store == "/variable"
    assert settings.sources["model_store"] == "MMS_MODEL_STORE"


def test_variables_do_not_count_where_the_file_does_not_allow_them(load: Load) -> None:
    environ = {"MMS_MODEL_STORE": "/variable", "MMS_ENABLE_ENVVARS_CONFIG": "true"}
    assert load("model_store=/file", environ=environ).model_store == "/file"


def test_a_wrong_variable_is_refused_with_its_name(load: Load) -> None:
    environ = {"MMS_JOB_QUEUE_SIZE": "many"}
    assert refusal(load, "enable_envvars_config=true", environ=environ) == (
        "Invalid configuration: MMS_JOB_QUEUE_SIZE: job_queue_size=many should be a whole number from 1 on"
    )


def test_options_that_only_a_file_sets_have_no_variable(load: Load) -> None:
    environ = {"MMS_METRIC_TIME_INTERVAL": "5", "MMS_PLUGINS_PATH": "/x"}
    settings = load("enable_envvars_config=true", environ=environ)
    assert (settings.metric_time_interval, settings.plugins_path) == (60, None)


@pytest.mark.parametrize(
    ("is_allowed", "environ", "timeout_s"),
    [
        ("true", {"MMS_DEFAULT_RESPONSE_TIMEOUT": "130"}, 7800),
        ("false", {"MMS_DEFAULT_RESPONSE_TIMEOUT": "130"}, 7200),
        ("true", {"MMS_DEFAULT_RESPONSE_TIMEOUT_SECONDS": "130"}, 130),
        ("true", {"MMS_DEFAULT_RESPONSE_TIMEOUT_SECONDS": "0"}, 0),
        ("true", {"MMS_DEBUG": "true"}, float("inf")),
    ],
)
def test_the_response_timeout_is_in_minutes_unless_seconds_are_given(
    load: Load, is_allowed: str, environ: dict[str, str], timeout_s: float
) -> None:
    text = f"enable_envvars_config={is_allowed}\ndefault_response_timeout=120"
    assert load(text, environ=environ).response_timeout_s == timeout_s


def test_the_variable_for_the_number_of_gpus_is_told_from_the_key(load: Load) -> None:
    assert not load("number_of_gpu=2").is_gpu_number_override
    environ = {"MMS_NUMBER_OF_GPU": "3"}
    settings = load("enable_envvars_config=true\nnumber_of_gpu=2", environ=environ)
    assert settings.is_gpu_number_override
    assert settings.number_of_gpu == 3


# Which file


def test_the_variable_for_the_file_beats_the_flag(load: Load, tmp_path: Path) -> None:
    other = tmp_path / "other.properties"
    other.write_text("job_queue_size=9")
    settings = load("job_queue_size=1", environ={"MMS_CONFIG_FILE": str(other)})
    assert (settings.job_queue_size, settings.config_file) == (9, str(other))


def test_without_a_flag_the_file_of_the_current_folder_is_read(config: Path) -> None:
    Path("config.properties").write_text("job_queue_size=9")
    assert load_settings(LaunchOptions(), environ={}).job_queue_size == 9


def test_a_named_file_that_is_not_there_is_a_warning(config: Path) -> None:
    settings = load_settings(LaunchOptions(), environ={"MMS_CONFIG_FILE": "absent"})
    (warning,) = warnings(settings)
    assert warning == f"{Path('absent').absolute()} is no file; no settings are read"


# SageMaker


def test_the_settings_for_sagemaker_come_from_its_variables(config: Path) -> None:
    settings = load_settings(LaunchOptions("sagemaker"), environ=SAGEMAKER)
    assert settings.is_single_listener
    assert str(settings.inference_address) == "http://0.0.0.0:9000"
    assert settings.model_store == "/store"
    assert settings.response_timeout_s == 180
    assert settings.unregister_model_timeout == 3
    assert settings.default_workers_per_model == 2
    assert settings.default_service_handler == "service:handle"
    assert (settings.max_response_size, settings.max_request_size) == (4000, 3000)
    assert settings.decode_input_request is False
    assert settings.config_file == str(packaged_config("sagemaker"))


@pytest.mark.parametrize("missing", SAGEMAKER)
def test_all_variables_of_sagemaker_are_mandatory(config: Path, missing: str) -> None:
    environ = {name: value for name, value in SAGEMAKER.items() if name != missing}
    with pytest.raises(ConfigurationError, match=f"Invalid Environment Variable {missing}"):
        load_settings(LaunchOptions("sagemaker"), environ=environ)


def test_started_for_sagemaker_errors_in_initialize_are_ignored_unless_told(load: Load) -> None:
    assert load("", environ={"SAGEMAKER_REGION": "x"}).initialize_errors == "ignore"
    assert load("# $$SAGEMAKER_X$$").initialize_errors == "ignore"
    assert load("# SAGEMAKER_X\ninitialize_errors=fail").initialize_errors == "fail"


# What follows from the values


@pytest.mark.parametrize(
    ("text", "models"),
    [
        ("", []),
        ("ALL", [(None, "ALL")]),
        ("a.mar", [(None, "a.mar")]),
        ("a=x.mar, b = y.mar ,z", [("a", "x.mar"), ("b", "y.mar"), (None, "z")]),
        ("empty=,,a", [(None, "a")]),
        ("=a.mar", [(None, "a.mar")]),
        ("m=http://h/x.mar?k=v", [("m", "http://h/x.mar?k=v")]),
        ("http://h/x.mar?k=v", [(None, "http://h/x.mar?k=v")]),
    ],
)
def test_the_models_of_the_start_are_names_and_locations(
    load: Load, text: str, models: list[tuple[str | None, str]]
) -> None:
    assert load(f"load_models={text}").startup_models == models


@pytest.mark.parametrize(
    ("text", "gpus", "workers"),
    [
        ("", 0, 4),
        ("", 2, 2),
        ("default_workers_per_model=3", 2, 3),
        ("debug=true\ndefault_workers_per_model=3", 2, 1),
    ],
)
def test_models_of_the_start_have_as_many_workers_as_gpus_or_else_cpus(
    load: Load, text: str, gpus: int, workers: int
) -> None:
    assert load(text).worker_count_at_startup(gpu_count=gpus, cpu_count=4) == workers


@pytest.mark.parametrize(
    ("inference", "management", "is_one"),
    [
        ("http://h:1", "https://h:1", True),
        ("http://h:1", "http://h:2", False),
        ("unix:/a", "unix:/a", True),
        ("http://h:8081", "http://h", True),
    ],
)
def test_equal_addresses_are_one_listener(
    load: Load, inference: str, management: str, is_one: bool
) -> None:
    text = f"inference_address={inference}\nmanagement_address={management}"
    assert load(text).is_single_listener is is_one


def test_the_configuration_is_described_with_the_labels_of_mms(load: Load) -> None:
    described = load("model_store=/store").describe(gpu_count=0, cpu_count=4, home="/home")
    rows = dict(line.split(": ", 1) for line in described.splitlines())
    assert list(rows) == [
        *("MMS Home", "Current directory", "Temp directory", "Number of GPUs", "Number of CPUs"),
        *("Max heap size", "Python executable", "Config file", "Inference address"),
        *("Management address", "Model Store", "Initial Models", "Log dir", "Metrics dir"),
        *("Netty threads", "Netty client threads", "Default workers per model"),
        *("Blacklist Regex", "Maximum Response Size", "Maximum Request Size", "Preload model"),
        "Prefer direct buffer",
    ]
    assert rows["Model Store"] == "/store"
    assert rows["Initial Models"] == rows["Max heap size"] == "N/A"
    assert rows["Default workers per model"] == "4"


def test_folders_come_from_variables(load: Load) -> None:
    environ = {"TEMP": "/t", "LOG_LOCATION": "/l", "METRICS_LOCATION": "/m"}
    settings = load("", environ=environ)
    assert (settings.temp_dir, settings.log_dir, settings.metrics_dir) == ("/t", "/l", "/m")
    assert (load("").log_dir, load("").metrics_dir) == ("logs", "logs")


def test_a_home_that_is_not_there_is_refused(load: Load, tmp_path: Path) -> None:
    load("", environ={"MODEL_SERVER_HOME": str(tmp_path)})
    assert refusal(load, "", environ={"MODEL_SERVER_HOME": "/absent"}) == (
        "Invalid configuration: Model server home not exist: /absent"
    )
