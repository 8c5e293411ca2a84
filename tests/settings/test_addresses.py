"""Listening addresses."""

from __future__ import annotations

import pytest

from mms.settings import Address


def inference(text: str) -> Address:
    return Address.parse(text, is_management=False)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("http://127.0.0.1:8080", Address("http", "127.0.0.1", 8080)),
        ("HTTPS://Host:1", Address("https", "Host", 1)),
        ("http://localhost:8080/", Address("http", "localhost", 8080)),
        ("http://[::1]:8080", Address("http", "::1", 8080)),
        ("http://[fe80::1%eth0]:8080/", Address("http", "fe80::1%eth0", 8080)),
        ("http://h:0", Address("http", "h", 0)),
        ("http://h:65535", Address("http", "h", 65535)),
        ("unix:/run/mms.sock", Address("unix", path="/run/mms.sock")),
        ("UNIX:/Run/MMS.sock", Address("unix", path="/Run/MMS.sock")),
    ],
)
def test_an_address_is_read(text: str, address: Address) -> None:
    assert inference(text) == address


@pytest.mark.parametrize(
    ("text", "for_inference", "for_management"),
    [("http://h", 80, 8081), ("https://h", 443, 8444), ("http://[::1]/", 80, 8081)],
)
def test_an_address_without_a_port_has_that_of_its_interface(
    text: str, for_inference: int, for_management: int
) -> None:
    assert inference(text).port == for_inference
    assert Address.parse(text, is_management=True).port == for_management


@pytest.mark.parametrize(
    "text",
    ["", "8080", "127.0.0.1:8080", "ftp://h:1", "http://", "http://h:", "http://h:x", "http://h:-1"]
    + [
        "unix:relative",
        "http://::1:8080",
        "http://h:1/path",
        "http://h h:1",
        "http://[1.2.3.4]:1",
        "http://[:::]:1",
    ],
)
def test_what_is_no_address_is_refused_in_the_words_of_mms(text: str) -> None:
    with pytest.raises(ValueError, match="^Invalid binding address: ") as caught:
        inference(text)
    assert str(caught.value) == f"Invalid binding address: {text}"


def test_a_port_that_does_not_exist_is_refused_in_the_words_of_mms() -> None:
    with pytest.raises(ValueError, match="^Invalid port number: http://h:65536$"):
        inference("http://h:65536")


@pytest.mark.parametrize("text", ["http://h:80", "https://[::1]:8443", "unix:/a/b"])
def test_an_address_is_written_as_it_is_read(text: str) -> None:
    assert str(inference(text)) == text
    assert repr(inference(str(inference(text)))) == repr(inference(text))


def test_the_scheme_does_not_tell_listeners_apart() -> None:
    assert inference("http://h:1").endpoint == inference("https://h:1").endpoint
    assert inference("http://h:1").endpoint != inference("http://h:2").endpoint
    assert inference("unix:/a").endpoint != inference("unix:/b").endpoint


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("grpc://0.0.0.0:5000", Address("grpc", "0.0.0.0", 5000)),
        ("127.0.0.1:7070", Address("grpc", "127.0.0.1", 7070)),
        ("GRPCS://[::1]:443/", Address("grpcs", "::1", 443)),
        ("unix:/run/grpc.sock", Address("unix", path="/run/grpc.sock")),
    ],
)
def test_an_address_of_grpc_is_read(text: str, address: Address) -> None:
    assert Address.parse_grpc(text) == address
    assert Address.parse_grpc(str(address)) == address


@pytest.mark.parametrize(
    "text", ["", "5000", "grpc://h", "http://h:1", "grpc://::1:1", "grpc://h:65536", "h:1/path"]
)
def test_what_is_no_address_of_grpc_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="^Invalid "):
        Address.parse_grpc(text)


def test_only_grpcs_is_grpc_over_tls() -> None:
    assert Address.parse_grpc("grpcs://h:1").is_tls
    assert not Address.parse_grpc("h:1").is_tls


@pytest.mark.parametrize(
    ("listening", "reached"),
    [
        ("http://0.0.0.0:1", "http://127.0.0.1:1"),
        ("https://[::]:1", "https://[::1]:1"),
        ("http://h:1", "http://h:1"),
        ("unix:/run/mms.sock", "unix:/run/mms.sock"),
    ],
)
def test_what_listens_on_all_interfaces_is_reached_on_loopback(
    listening: str, reached: str
) -> None:
    assert str(inference(listening).reachable) == reached
