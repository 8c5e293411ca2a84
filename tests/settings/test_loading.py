"""Where the value of a setting comes from, and what is said about a wrong one."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from mms.errors import ConfigurationError
from mms.processes.launch_options import LaunchOptions
from mms.settings import Settings, all_options, load_settings

Load = Callable[..., Settings]

SAGEMAKER = {
    "SAGEMAKER_MODEL_STORE": "/models",
    "SAGEMAKER_BIND_TO_PORT": "8123",
    "SAGEMAKER_RESPONSE_TIMEOUT": "7",
    "SAGEMAKER_NUM_MODEL_WORKERS": "3",
    "SAGEMAKER_HANDLER": "service:handle",
    "SAGEMAKER_MAX_RESPONSE_SIZE": "1000",
    "SAGEMAKER_MAX_REQUEST_SIZE": "2000",
}


def _error(load: Load, *arguments: object, **options: object) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load(*arguments, **options)
    message = str(caught.value)
    assert message.startswith("Invalid configuration: ")
    assert "\n" not in message
    return message


# Precedence


def test_without_a_file_all_settings_have_their_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = load_settings(LaunchOptions(), environ={})
    assert (settings.config_file, settings.sources, settings.notices) == (None, {}, [])
    assert str(settings.inference_address) == "http://127.0.0.1:8080"
    assert str(settings.management_address) == "http://127.0.0.1:8081"
    assert settings.max_request_size == settings.max_response_size == 6553500
    assert settings.job_queue_size is None


def test_the_file_beats_the_default_and_says_where_a_value_is_from(
    load: Load, tmp_path: Path
) -> None:
    settings = load("# first\njob_queue_size=7\n")
    assert settings.job_queue_size == 7
    assert settings.sources == {"job_queue_size": f"{tmp_path / 'config.properties'}:2"}


def test_the_command_line_beats_the_file(load: Load) -> None:
    settings = load("model_store=/file\nload_models=a", model_store="/line", models=["b", "c=d"])
    assert settings.model_store == "/line"
    assert settings.load_models == "b,c=d"
    assert settings.sources == {"model_store": "--model-store", "load_models": "--models"}


def test_variables_beat_the_command_line_where_the_file_allows_them(load: Load) -> None:
    environ = {"MMS_MODEL_STORE": "/variable"}
    settings = load("enable_envvars_config=true", environ, model_store="/line")
    assert settings.model_store == "/variable"
    assert settings.sources["model_store"] == "MMS_MODEL_STORE"


def test_without_leave_of_the_file_variables_do_not_count(load: Load) -> None:
    environ = {"MMS_JOB_QUEUE_SIZE": "7", "MMS_ENABLE_ENVVARS_CONFIG": "true"}
    settings = load("", environ)
    assert settings.job_queue_size is None
    text = (
        "MMS_ENABLE_ENVVARS_CONFIG, MMS_JOB_QUEUE_SIZE have no effect: variables count only where the "
        "configuration file says enable_envvars_config=true"
    )
    assert settings.notices == [(logging.WARNING, text)]


@pytest.mark.parametrize(
    "name", [n for n, option in all_options().items() if not option.has_variable]
)
def test_some_settings_have_no_variable(load: Load, name: str) -> None:
    settings = load("enable_envvars_config=true", {f"MMS_{name.upper()}": "false"})
    assert set(settings.sources) == {"enable_envvars_config"}
    idle = f"MMS_{name.upper()} has no effect: only the configuration file sets this"
    assert (logging.WARNING, idle) in settings.notices


def test_a_model_that_is_named_without_a_location_is_told(load: Load) -> None:
    (level, told), *more = load("", models=["a=noop", "b="]).notices
    assert (level, more) == (logging.WARNING, [])
    assert told == "--models: load_models=a=noop,b=: the model b has no location and is not loaded"


def test_variables_that_are_for_somebody_else_are_nobodys_mistake(load: Load) -> None:
    kubernetes = (
        "SERVICE_HOST",
        "SERVICE_PORT_HTTP",
        "PORT",
        "PORT_80_TCP_ADDR",
        "GPU_PORT_80_UDP",
    )
    environ = {"MMS_API_KEY": "k", "MMS_CONFIG_FILE": "", "MMSX": "1"}
    assert load("", environ | {f"MMS_{name}": "x" for name in kubernetes}).notices == []


@pytest.mark.parametrize("text", ["", "enable_envvars_config=true"])
def test_variables_that_name_no_setting_are_told_with_the_nearest_one(
    load: Load, text: str
) -> None:
    notices = load(text, {"MMS_JOBS_QUEUE_SIZE": "7"}).notices
    told = "MMS_JOBS_QUEUE_SIZE (did you mean MMS_JOB_QUEUE_SIZE?) is no setting and has no effect on the server"
    assert notices == [(logging.WARNING, told)]
    (_, told), *_ = load(text, {f"MMS_ZZ{number}": "" for number in range(100, 130)}).notices
    assert told.startswith("MMS_ZZ100, MMS_ZZ101, ")
    assert told.endswith("MMS_ZZ109, and 20 more are no settings and have no effect on the server")


def test_the_last_entry_of_a_key_counts_whatever_the_others_say(load: Load) -> None:
    assert (
        load("job_queue_size=many\njob_queue_size=$$UNSET$$\njob_queue_size=9").job_queue_size == 9
    )


def test_an_entry_without_a_value_keeps_the_default(load: Load) -> None:
    settings = load("job_queue_size=\ninference_address=\nmodel_store=\ndecode_input_request=")
    assert settings.job_queue_size is None
    assert settings.inference_address.port == 8080
    assert settings.model_store is None
    assert settings.decode_input_request


def test_the_variable_for_the_file_beats_the_flag(load: Load, tmp_path: Path) -> None:
    (tmp_path / "flag").write_text("job_queue_size=1")
    (tmp_path / "variable").write_text("job_queue_size=2")
    environ = {"MMS_CONFIG_FILE": str(tmp_path / "variable")}
    assert load("", environ, mms_config=str(tmp_path / "flag")).job_queue_size == 2
    assert load("", {}, mms_config=str(tmp_path / "flag")).job_queue_size == 1


def test_a_named_file_that_is_missing_is_warned_about(load: Load, tmp_path: Path) -> None:
    settings = load("job_queue_size=3", {"MMS_CONFIG_FILE": "nowhere"})
    assert settings.job_queue_size is None
    assert settings.notices == [
        (logging.WARNING, f"{tmp_path / 'nowhere'} is not a file; no settings are read")
    ]


def test_the_file_of_the_flag_is_named_whole(load: Load, tmp_path: Path) -> None:
    (tmp_path / "flag").write_text("lane=off")
    settings = load("", mms_config="flag")
    assert settings.config_file == str(tmp_path / "flag")
    assert settings.sources == {"lane": f"{tmp_path / 'flag'}:1"}


def test_folders_come_from_variables(load: Load) -> None:
    settings = load("", {"TEMP": "/t", "LOG_LOCATION": "/l", "METRICS_LOCATION": "/m"})
    assert (settings.temp_dir, settings.log_dir, settings.metrics_dir) == ("/t", "/l", "/m")
    assert (load("").log_dir, load("").metrics_dir) == ("logs", "logs")


def test_plugins_see_the_text_of_every_key(load: Load) -> None:
    settings = load("own_key=x\njob_queue_size= 7 ")
    assert settings.raw == {"own_key": "x", "job_queue_size": "7 "}


# Variables within values


def test_variables_within_values_are_put_in_as_they_are(load: Load) -> None:
    environ = {"HOST": r"h\o$1st", "ORIGIN": "a"}
    settings = load("cors_allowed_origin=$$ORIGIN$$-$$HOST$$-$$ORIGIN$$", environ)
    assert settings.cors_allowed_origin == r"a-h\o$1st-a"


@pytest.mark.parametrize("value", ["$$", "$$A$$", "$$$$", "$NAME$", "$$NAME$"])
def test_what_has_not_the_form_of_a_variable_is_text(load: Load, value: str) -> None:
    assert load(f"cors_allowed_origin={value}", {"A": "1", "NAME": "2"}).raw == {
        "cors_allowed_origin": value
    }


def test_a_variable_that_is_not_set_is_an_error_with_its_place(load: Load, tmp_path: Path) -> None:
    message = _error(load, "\nmodel_store=$$GONE$$/x")
    assert message.startswith("Invalid configuration: Invalid Environment Variable GONE")
    assert f"{tmp_path / 'config.properties'}:2: model_store=$$GONE$$/x" in message


# Wrong values


@pytest.mark.parametrize(
    ("key", "value", "right"),
    [
        ("job_queue_size", "many", "a whole number from 1 on"),
        ("job_queue_size", "0", "a whole number from 1 on"),
        ("max_request_size", "-1", "a whole number from 0 on, in bytes"),
        ("max_request_size", "1_000", "a whole number from 0 on, in bytes"),
        ("default_response_timeout_seconds", "1.5", "a whole number, in seconds"),
        ("drain_timeout_s", "nan", "a number from 0 on, in seconds"),
        ("drain_timeout_s", "inf", "a number from 0 on, in seconds"),
        ("lane", "maybe", "on or off"),
        ("batch_policy", "eager", "adaptive or fixed"),
        ("initialize_errors", "perhaps", "fail or ignore"),
        ("blacklist_env_vars", "(", "a regular expression"),
        ("allowed_urls", "https://.*, [", "regular expressions with commas between them"),
        ("inference_address", "tcp://x", "http://host:port, https://host:port or unix:/path"),
    ],
)
def test_a_wrong_value_is_one_line_with_its_place_and_what_is_right(
    load: Load, tmp_path: Path, key: str, value: str, right: str
) -> None:
    message = _error(load, f"\n\n{key}={value}")
    assert message.endswith(f"{tmp_path / 'config.properties'}:3: {key}={value} should be {right}")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("ftp://h", "Invalid binding address: ftp://h"),
        ("http://h:70000", "Invalid port number: http://h:70000"),
    ],
)
def test_a_wrong_address_has_mms_s_words_first(load: Load, value: str, words: str) -> None:
    message = _error(load, f"inference_address={value}")
    assert message.startswith(f"Invalid configuration: {words}; ")


def test_a_wrong_variable_is_named(load: Load) -> None:
    message = _error(load, "enable_envvars_config=true", {"MMS_LANE": "perhaps"})
    assert message == "Invalid configuration: MMS_LANE: lane=perhaps should be on or off"


def test_a_malformed_file_is_refused_with_its_line(load: Load, tmp_path: Path) -> None:
    message = _error(load, "a=b\nc=\\u12")
    assert f"{tmp_path / 'config.properties'}: line 2: malformed" in message


def test_one_of_a_key_and_a_certificate_is_not_enough(load: Load) -> None:
    message = _error(load, "private_key_file=key.pem")
    assert "config.properties:1: private_key_file=key.pem" in message
    assert "set both or none" in message


def test_unix_sockets_need_native_io_as_in_mms(load: Load) -> None:
    message = _error(load, "management_address=unix:/tmp/m\nuse_native_io=false")
    assert message.endswith("unix domain socket requires use_native_io set to true.")


def test_a_home_that_does_not_exist_is_refused(load: Load) -> None:
    message = _error(load, "", {"MODEL_SERVER_HOME": "/no/such/folder"})
    assert message == "Invalid configuration: Model server home not exist: /no/such/folder"


# Notices


def test_an_unknown_key_is_warned_about_with_the_nearest_one(load: Load, tmp_path: Path) -> None:
    settings = load("jobs_queue_size=5")
    path = tmp_path / "config.properties"
    assert settings.notices == [
        (
            logging.WARNING,
            f"{path}:1: unknown setting jobs_queue_size has no effect; did you mean job_queue_size?",
        )
    ]
    assert settings.raw == {"jobs_queue_size": "5"}


def test_a_key_that_is_like_no_other_is_warned_about_alone(load: Load) -> None:
    ((_, text),) = load("zzzzzz=5").notices
    assert text.endswith("unknown setting zzzzzz has no effect")


def test_settings_of_the_java_server_are_one_line(load: Load) -> None:
    settings = load("vmargs=-Xmx1g\nio_ratio=70\nasync_logging=true")
    assert settings.notices == [
        (
            logging.INFO,
            "vmargs, io_ratio, async_logging are settings of the Java server, without effect here",
        )
    ]


@pytest.mark.parametrize("value", ["yes", "1", "on", "tru"])
def test_only_true_is_true_and_a_near_miss_is_warned_about(load: Load, value: str) -> None:
    settings = load(f"preload_model={value}")
    assert not settings.preload_model
    ((level, text),) = settings.notices
    assert level == logging.WARNING
    assert f"preload_model={value} counts as false" in text


@pytest.mark.parametrize("value", ["true", "TRUE", " True "])
def test_true_may_be_written_in_any_case(load: Load, value: str) -> None:
    assert load(f"preload_model={value}").preload_model


# SageMaker


def test_the_packaged_file_for_sagemaker_is_filled_from_its_variables(load: Load) -> None:
    settings = load("", SAGEMAKER, mms_config="sagemaker")
    assert str(settings.inference_address) == "http://0.0.0.0:8123"
    assert settings.is_single_listener
    assert settings.model_store == "/models"
    assert settings.response_timeout_s == 7 * 60
    assert settings.unregister_model_timeout == 7
    assert settings.default_workers_per_model == 3
    assert settings.default_service_handler == "service:handle"
    assert (settings.max_response_size, settings.max_request_size) == (1000, 2000)
    assert not settings.decode_input_request


@pytest.mark.parametrize("missing", SAGEMAKER)
def test_each_variable_for_sagemaker_is_needed(load: Load, missing: str) -> None:
    environ = {name: value for name, value in SAGEMAKER.items() if name != missing}
    message = _error(load, "", environ, mms_config="sagemaker")
    assert f"Invalid Environment Variable {missing}" in message


@pytest.mark.parametrize(
    ("text", "environ", "policy"),
    [
        ("", {}, "fail"),
        ("", {"SAGEMAKER_MULTI_MODE": "true"}, "ignore"),
        ("default_service_handler=$$SAGEMAKER_HANDLER$$", SAGEMAKER, "ignore"),
        ("initialize_errors=fail", SAGEMAKER, "fail"),
        ("initialize_errors=ignore", {}, "ignore"),
    ],
)
def test_errors_of_initialize_are_ignored_by_default_for_sagemaker_alone(
    load: Load, text: str, environ: dict[str, str], policy: str
) -> None:
    assert load(text, environ).initialize_errors == policy
