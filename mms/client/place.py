"""Where a server is, and how it is called: addresses, keys, certificates."""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass
from typing import Final

from mms.client.answer import Call
from mms.text.address import Address

INFERENCE: Final = "http://127.0.0.1:8080"
MANAGEMENT: Final = "http://127.0.0.1:8081"
_KEY_VARIABLE: Final = "MMS_API_KEY"


@dataclass(frozen=True, slots=True)
class Place:
    """The two listeners of a server. `tls`: how connections to https addresses are secured; None where none is."""

    inference: Address
    management: Address
    key: str = ""
    tls: ssl.SSLContext | None = None

    @classmethod
    def of(
        cls,
        inference: str | Address,
        management: str | Address,
        key: str | None,
        verify: bool | str,
        client_certificate: str | None,
    ) -> Place:
        """`key` None: the one of the variable MMS_API_KEY. The others as in `Client`, which says what is raised."""
        addresses = (
            _address(inference, is_management=False),
            _address(management, is_management=True),
        )
        if key is None:
            key = os.environ.get(_KEY_VARIABLE, "").strip()
        if not (key.isascii() and key.isprintable()):
            raise ValueError("the key has characters that no header can have")
        is_tls = any(address.is_tls for address in addresses)
        return cls(
            *addresses,
            key,
            _tls(verify, client_certificate) if is_tls else None,
        )

    def address(self, call: Call) -> Address:
        return (self.management if call.is_management else self.inference).reachable

    def headers(self, call: Call) -> dict[str, str]:
        """Return all headers of a call."""
        headers = dict(call.headers)
        names = {name.lower() for name in headers}
        if self.key and not names & {"authorization", "x-api-key"}:
            headers["Authorization"] = f"Bearer {self.key}"
        if call.tells_time and not names & {"x-request-timeout", "request-timeout"}:
            headers["x-request-timeout"] = str(max(int(call.timeout_s * 1000), 1))
        return headers


def _tls(verify: bool | str, client_certificate: str | None) -> ssl.SSLContext:
    """Return how connections are secured. Raises ValueError for files that cannot be read."""
    try:
        context = ssl.create_default_context(cafile=verify if isinstance(verify, str) else None)
    except (OSError, ValueError) as error:
        raise ValueError(f"verify: {verify} is not a PEM file of certificates ({error})") from None
    if verify is False:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if client_certificate is not None:
        try:
            context.load_cert_chain(client_certificate)
        except (OSError, ValueError) as error:
            raise ValueError(
                f"client_certificate: {client_certificate} is not a PEM file of a certificate and its key ({error})"
            ) from None
    return context


def _address(given: str | Address, *, is_management: bool) -> Address:
    if isinstance(given, Address):
        return given
    try:
        address = Address.parse(given, is_management=is_management)
    except ValueError as error:
        raise ValueError(
            f"{error}; http://host:port, https://host:port or unix:/path is right"
        ) from None
    return address
