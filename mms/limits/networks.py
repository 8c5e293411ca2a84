"""Which addresses of the net this server may ask on a client's behalf: public ones, and those that a setting adds.

A name is resolved once and what it led to is what is connected to, so that a name that changes its address between the
check and the connection leads nowhere else.
"""

from __future__ import annotations

import errno
import ipaddress
import re
import socket
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from mms.text.brief import brief

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network

#: What a setting may say beside networks.
WORDS: Final = ("loopback", "private", "link-local", "any", "none")
_OF_WORDS: Final[dict[str, tuple[_Network, ...]]] = {
    word: tuple(ipaddress.ip_network(text) for text in texts)
    for word, texts in {
        "loopback": ("127.0.0.0/8", "::1/128"),
        "private": (
            "10.0.0.0/8",
            "172.16.0.0/12",
            "192.168.0.0/16",
            "100.64.0.0/10",
            "fc00::/7",
            "fec0::/10",
        ),
        "link-local": ("169.254.0.0/16", "fe80::/10"),
        "any": ("0.0.0.0/0", "::/0"),
        "none": (),
    }.items()
}
# Where clouds hand out credentials to whoever asks from the machine. No word but `any` means these.
_METADATA: Final = frozenset(
    ipaddress.ip_address(text)
    for text in (
        *("169.254.169.254", "169.254.170.2", "168.63.129.16"),
        *("100.100.100.200", "192.0.0.192", "fd00:ec2::254"),
    )
)
# As C libraries read addresses: up to four numbers, also octal and hexadecimal ones.
_NUMBERS: Final = re.compile(r"(?:(?:0[xX][0-9a-fA-F]*|[0-9]+)(?:\.|$)){1,4}")
_DOT: Final = re.compile("%2e", re.IGNORECASE)
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
_LOW_32_BITS: Final = 0xFFFFFFFF

#: All that IANA has given out for the internet, and what of it is for tests, documents, tunnels or protocols. Python's
#: own list differs between its versions.
_GLOBAL_V6: Final = ipaddress.ip_network("2000::/3")
_SPECIAL: Final = tuple(
    ipaddress.ip_network(text)
    for text in (
        *(
            "192.0.0.0/24",
            "192.31.196.0/24",
            "192.52.193.0/24",
            "192.88.99.0/24",
            "192.175.48.0/24",
        ),
        *("2001::/23", "2001:db8::/32", "2620:4f:8000::/48", "3ffe::/16", "3fff::/20"),
    )
)

#: As `socket.getaddrinfo` has it: family, type, protocol, canonical name, socket address.
AddressInfo = tuple[int, int, int, str, tuple[Any, ...]]


class AddressRefused(OSError):
    """A host that has no address which may be asked. The message names both."""

    def __init__(self, text: str) -> None:
        # What wraps errors of the system shows their `strerror`.
        super().__init__(errno.EACCES, text)

    def __str__(self) -> str:
        return self.strerror or ""


@dataclass(frozen=True, slots=True)
class Networks:
    """Addresses that may be asked besides public ones."""

    words: frozenset[str] = frozenset()
    networks: tuple[_Network, ...] = ()

    def __str__(self) -> str:
        return ",".join((*sorted(self.words), *map(str, self.networks)))

    @classmethod
    def parse(cls, text: str) -> Networks:
        """`text`: networks, addresses and `WORDS` with commas between them. Raises ValueError."""
        words, networks = set(), []
        for part in filter(None, (part.strip().lower() for part in text.split(","))):
            if part in WORDS:
                words.add(part)
            else:
                networks.append(ipaddress.ip_network(part))
        return cls(frozenset(words), tuple(networks))

    def allows(self, address: str) -> bool:
        """Return whether an address, as `getaddrinfo` writes it, may be asked. Raises ValueError for what is none."""
        found = ipaddress.ip_address(address.partition("%")[0])
        inner = _inner(found)
        if "any" in self.words or any(inner in network for network in self.networks):
            return True
        if inner in _METADATA:
            return False
        return is_public(inner) or any(
            inner in network for word in self.words for network in _OF_WORDS[word]
        )

    def resolve(self, host: str, port: int) -> list[AddressInfo]:
        """Return the addresses of a host that may be asked. Blocks while a name is looked up.

        Raises AddressRefused where there is none of them, other OSErrors where there is none at all.
        """
        found = _look_up(host, port)
        allowed = [info for info in found if self.allows(str(info[4][0]))]
        if not allowed:
            address = str(found[0][4][0])
            raise AddressRefused(
                f"{host if host != address else 'the host'} is {address}, {kind_of(address)}, which "
                "allowed_private_addresses does not allow"
            )
        return allowed

    def connect(self, host: str, port: int, timeout_s: float | None) -> socket.socket:
        """Return a connection to one of the addresses that `resolve` has. Raises OSError."""
        last: OSError | None = None
        for family, kind, protocol, _, address in self.resolve(host, port):
            made = socket.socket(family, kind, protocol)
            try:
                made.settimeout(timeout_s)
                made.connect(address)
            except OSError as error:
                made.close()
                last = error
            else:
                return made
        assert last is not None
        raise last


PUBLIC_ONLY: Final = Networks()
LOOPBACK: Final = Networks(frozenset(("loopback",)))
ANY: Final = Networks(frozenset(("any",)))


def is_address(host: str) -> bool:
    """Return whether a host is an address, in whichever way it is written, and no name."""
    return ":" in host or _NUMBERS.fullmatch(host) is not None


def is_public(address: _Address | str) -> bool:
    """Return whether an address is one of the internet's, and a single machine's."""
    found = ipaddress.ip_address(address.partition("%")[0]) if isinstance(address, str) else address
    found = _inner(found)
    if found in _METADATA or found.is_multicast or found.is_reserved:
        return False
    if found.version == 6 and found not in _GLOBAL_V6:
        return False
    return found.is_global and not any(found in network for network in _SPECIAL)


def kind_of(address: str) -> str:
    """Return what an address that is not public is, for messages."""
    found = _inner(ipaddress.ip_address(address.partition("%")[0]))
    if found in _METADATA:
        return "a metadata address of a cloud"
    if found.is_loopback:
        return "a loopback address"
    if found.is_link_local:
        return "a link-local address"
    if found.is_private or any(found in network for network in _OF_WORDS["private"]):
        return "a private address"
    return "no address of the internet"


def _inner(address: _Address) -> _Address:
    """Return the IPv4 address that an IPv6 address stands for, or the address itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & _LOW_32_BITS)
    return address


def _look_up(host: str, port: int) -> list[AddressInfo]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        raise OSError(f"{brief(host)} is not the name of a host: {error}") from None
    # Without IPv6 an address of it may come as a pair of numbers.
    known = [info for info in found if info[0] in (socket.AF_INET, socket.AF_INET6)]
    if not known:
        raise OSError(f"{brief(host)} has no address")
    return list(known)


def url_forms(url: str) -> tuple[str, ...]:
    """Return a url without user and password, and the same with dots resolved, as patterns must match both."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return (url,)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        return (url,)
    before, _, after = url.partition(parts.netloc)
    start = before + parts.netloc.rpartition("@")[2]
    path = _without_dots(_DOT.sub(".", parts.path))
    return (start + after, start + path + after[len(parts.path) :])


def _without_dots(path: str) -> str:
    kept: list[str] = []
    for part in path.split("/"):
        if part == "..":
            if len(kept) > 1:
                kept.pop()
        elif part != ".":
            kept.append(part)
    return "/".join(kept)
