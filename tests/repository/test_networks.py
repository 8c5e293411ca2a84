"""Which addresses may be asked on a client's behalf."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from mms.limits.networks import (
    ANY,
    LOOPBACK,
    PUBLIC_ONLY,
    AddressRefused,
    Networks,
    is_public,
    kind_of,
)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.9.9.9", "0.0.0.0", "10.0.0.1", "172.16.5.5", "192.168.1.1"),
        *("100.64.0.1", "169.254.1.1", "169.254.169.254", "168.63.129.16", "192.0.0.192"),
        *("198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255"),
        *("::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "ff02::1"),
        *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "::10.0.0.1"),
        *("64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2002:a00:1::"),
        *("2001:db8::1", "2001::1", "4000::1"),
    ],
)
def test_an_address_that_is_no_single_machine_of_the_internet_is_not_public(address: str) -> None:
    assert not is_public(address)
    assert not PUBLIC_ONLY.allows(address)


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
)
def test_a_public_address_is_always_allowed(address: str) -> None:
    assert is_public(address)
    assert all(networks.allows(address) for networks in (PUBLIC_ONLY, LOOPBACK, ANY))


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("loopback", ["127.0.0.1", "::1", "::ffff:127.0.0.1"], ["10.0.0.1", "0.0.0.0"]),
        ("private", ["10.0.0.1", "192.168.0.9", "fc00::1", "100.64.0.1"], ["127.0.0.1"]),
        ("link-local", ["169.254.7.7", "fe80::1"], ["10.0.0.1"]),
        ("10.1.0.0/16, 192.168.0.7", ["10.1.2.3", "192.168.0.7"], ["10.2.0.1", "192.168.0.8"]),
        ("none", [], ["127.0.0.1", "10.0.0.1"]),
        ("any", ["127.0.0.1", "169.254.169.254", "fe80::1"], []),
    ],
)
def test_a_setting_allows_what_it_says_and_no_more(
    text: str, inside: list[str], outside: list[str]
) -> None:
    networks = Networks.parse(text)
    assert [a for a in inside if not networks.allows(a)] == []
    assert [a for a in outside if networks.allows(a)] == []


def test_no_word_but_any_means_where_clouds_hand_out_credentials() -> None:
    networks = Networks.parse("private,link-local,loopback")
    for address in ("169.254.169.254", "fd00:ec2::254", "100.100.100.200", "::ffff:a9fe:a9fe"):
        assert not networks.allows(address)
    assert Networks.parse("169.254.169.254").allows("169.254.169.254")


@pytest.mark.parametrize("text", ["10.0.0.1/8", "localhost", "10.", "private loopback"])
def test_what_is_no_network_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        Networks.parse(text)


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "127.1", "017700000001"])
def test_an_address_written_in_another_way_is_the_address(host: str) -> None:
    with pytest.raises(AddressRefused, match=r"is 127\.0\.0\.1, a loopback address"):
        PUBLIC_ONLY.resolve(host, 80)
    assert LOOPBACK.resolve(host, 80)


def test_of_several_addresses_those_that_are_allowed_remain(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def look_up(host: str, port: int, **_: Any) -> list[Any]:
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            for address in ("10.0.0.1", "8.8.8.8")
        ]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    assert [info[4] for info in PUBLIC_ONLY.resolve("host", 80)] == [("8.8.8.8", 80)]


def test_a_connection_goes_to_the_address_that_was_looked_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with LOOPBACK.connect("localhost", port, 5.0) as connection:
            assert connection.getpeername()[1] == port
        with pytest.raises(AddressRefused, match="allowed_private_addresses"):
            PUBLIC_ONLY.connect("localhost", port, 5.0)


@pytest.mark.parametrize(
    "address",
    [
        *(
            "fec0::1",
            "feff:ffff::1",
            "4000::1",
            "5f00::1",
            "8000::1",
            "fe00::1",
            "3ffe::1",
            "3fff::1",
        ),
        *("2001:10::1", "2620:4f:8000::1", "64:ff9b:1::1", "100::1"),
        *(
            "192.0.0.9",
            "192.31.196.1",
            "192.52.193.1",
            "192.88.99.1",
            "192.175.48.1",
            "0.1.2.3",
            "ff0e::1",
        ),
    ],
)
def test_addresses_that_the_internet_does_not_have_are_not_public(address: str) -> None:
    assert not is_public(address)
    assert not PUBLIC_ONLY.allows(address)


def test_a_site_of_its_own_is_private() -> None:
    assert Networks.parse("private").allows("fec0::1")
    assert kind_of("fec0::1") == "a private address"
    assert is_public("2606:4700::1111")
    assert is_public("8.8.8.8")
