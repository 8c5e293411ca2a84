"""What may listen where."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from mms.errors import ConfigurationError
from mms.processes.launch_options import LaunchOptions
from mms.security import check_exposure
from mms.settings import Settings, load_settings
from mms.settings.load import packaged_config

Check = Callable[..., Settings]


@pytest.fixture
def check(tmp_path: Path) -> Check:
    def check(text: str, name: str = "config.properties", **environ: str) -> Settings:
        path = tmp_path / name
        path.write_text(text)
        settings = load_settings(LaunchOptions(mms_config=str(path)), environ=environ)
        check_exposure(settings)
        return settings

    return check


OPEN = "management_address=http://0.0.0.0:8081\n"


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:8081",
        "http://127.8.8.8:8081",
        "http://[::1]:8081",
        "http://localhost:8081",
        "unix:/run/m.sock",
    ],
)
def test_management_may_listen_where_only_this_machine_reaches_it(
    check: Check, address: str
) -> None:
    check(f"management_address={address}\n")


@pytest.mark.parametrize(
    "address",
    ["http://0.0.0.0:8081", "http://[::]:8081", "http://10.1.2.3:8081", "https://0.0.0.0:8081"],
)
def test_management_elsewhere_is_refused_in_one_line_that_names_the_ways_out(
    check: Check, address: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        check(f"# first\nmanagement_address={address}\nallow_self_signed=true\n")
    text = str(caught.value)
    assert f"config.properties:2: management_address={address}" in text
    assert "\n" not in text
    for word in ("keys_file", "tls_client_ca", "127.0.0.1", "allow_open_management=true"):
        assert word in text


@pytest.mark.parametrize(
    "more",
    [
        "keys_file=/keys",
        "keys_file=/keys\nopen_roles=inference,metrics",
        "allow_open_management=true",
        "management_address=https://0.0.0.0:1\ntls_client_ca=/ca\nkeystore=/k",
    ],
)
def test_what_protects_management_lets_it_listen(check: Check, more: str) -> None:
    check(OPEN + more)


@pytest.mark.parametrize(
    "more",
    [
        "keys_file=/keys\nopen_roles=management",
        "inference_address=https://0.0.0.0:1\ntls_client_ca=/ca\nkeystore=/k",
        "allow_open_management=false",
    ],
)
def test_what_protects_something_else_does_not(check: Check, more: str) -> None:
    with pytest.raises(ConfigurationError, match="management_address"):
        check(OPEN + more)


def test_what_is_open_on_purpose_is_said_at_each_start(
    check: Check, caplog: pytest.LogCaptureFixture
) -> None:
    check(OPEN + "allow_open_management=true")
    assert "anybody who can connect to http://0.0.0.0:8081 can run code" in caplog.text


def test_keys_in_plain_text_are_warned_of(check: Check, caplog: pytest.LogCaptureFixture) -> None:
    check(OPEN + "keys_file=/keys")
    assert "plain text" in caplog.text
    caplog.clear()
    check("management_address=https://0.0.0.0:1\nkeystore=/k\nkeys_file=/keys")
    assert not caplog.records


ONE_PORT = "inference_address=http://0.0.0.0:8080\nmanagement_address=http://0.0.0.0:8080\n"


def test_sagemaker_s_one_port_is_let_be_with_a_warning(
    check: Check, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    check(ONE_PORT, SAGEMAKER_REGION="eu-west-1")
    assert "as SageMaker needs it" in caplog.text


def test_the_file_of_sagemaker_s_toolkit_is_known_by_its_name(check: Check) -> None:
    check(ONE_PORT, "sagemaker-mms.properties")


def test_sagemaker_is_no_reason_for_a_port_of_management_s_own(check: Check) -> None:
    with pytest.raises(ConfigurationError, match="management_address"):
        check(OPEN, SAGEMAKER_REGION="eu-west-1")
    with pytest.raises(ConfigurationError, match="management_address"):
        check(ONE_PORT)


@pytest.mark.parametrize("name", ["inference", "management", "seldon", "grpc"])
def test_no_certificate_is_made_for_other_addresses_than_loopback(check: Check, name: str) -> None:
    address = "grpcs://0.0.0.0:5000" if name == "grpc" else "https://0.0.0.0:8443"
    text = f"{name}_address={address}\nallow_open_management=true\n"
    with pytest.raises(ConfigurationError, match=f"{address} has no certificate.*keystore"):
        check(text)
    check(text + "allow_self_signed=true")
    check(text + "private_key_file=/k\ncertificate_file=/c")
    check(text + "keystore=/k")
    check(text.replace("0.0.0.0", "127.0.0.1"))


def test_client_certificates_that_no_listener_asks_for_are_an_error(check: Check) -> None:
    with pytest.raises(ConfigurationError, match=r":1: tls_client_ca=/ca: no listener has TLS"):
        check("tls_client_ca=/ca")


def test_open_roles_are_roles(check: Check) -> None:
    with pytest.raises(ConfigurationError, match="open_roles=all should be some of inference"):
        check("open_roles=all")


def test_the_image_s_configuration_starts(check: Check) -> None:
    config = Path(__file__).resolve().parents[2] / "docker" / "config.properties"
    settings = check(config.read_text())
    assert not settings.notices


def test_the_packaged_configuration_of_sagemaker_starts(check: Check) -> None:
    variables = re.findall(r"\$\$(\w+)\$\$", packaged_config("sagemaker").read_text())
    environ = dict.fromkeys(variables, "8080")
    check(packaged_config("sagemaker").read_text(), **environ)
