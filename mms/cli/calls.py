"""Calls of a server's HTTP interfaces, over TCP, TLS and Unix sockets."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mms.settings import Address

#: A server of this machine that does not accept a connection in this time is not there.
_CONNECT_TIMEOUT_S = 10.0
#: Where to reach a server that listens on all addresses.
_REACHED_AT = {"0.0.0.0": "127.0.0.1", "::": "::1"}


class CallFailed(Exception):
    """No answer. The message is one line for people."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered. `reason` is the phrase of its status line."""

    status: int
    reason: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300

    def json(self) -> Any:
        """Raises CallFailed for what is no JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            raise CallFailed(
                f"The answer is no JSON: {self.body[:100]!r}. Is that the address of this server?"
            ) from None

    @property
    def server_error(self) -> tuple[str, str] | None:
        """(type, message) where the body is the server's own report of an error."""
        try:
            document = json.loads(self.body)
        except ValueError:
            return None
        if not isinstance(document, dict) or document.get("code") != self.status:
            return None
        return str(document.get("type", "")), str(document.get("message", ""))


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def call(
    address: Address,
    method: str,
    path: str,
    *,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    timeout_s: float,
    is_insecure: bool = False,
) -> Answer:
    """One request on a connection of its own. `is_insecure`: any certificate will do. Raises CallFailed."""
    connection = _connection(address, is_insecure)
    try:
        connection.connect()
        connection.sock.settimeout(timeout_s)
        connection.request(method, path, body, dict(headers or {}))
        response = connection.getresponse()
        received = response.read()
    except ssl.SSLCertVerificationError as error:
        raise CallFailed(
            f"The certificate of {address} is not trusted: {error.verify_message}. "
            "--insecure accepts any."
        ) from None
    except TimeoutError:
        raise CallFailed(f"{address} gave no answer in time; --timeout sets the limit.") from None
    except ConnectionRefusedError:
        raise CallFailed(_nobody(address, "nothing listens there")) from None
    except FileNotFoundError:
        raise CallFailed(_nobody(address, "there is no such socket")) from None
    except (OSError, http.client.HTTPException) as error:
        raise CallFailed(
            f"{address} gave no answer: {str(error) or type(error).__name__}"
        ) from None
    finally:
        connection.close()
    return Answer(response.status, response.reason, dict(response.getheaders()), received)


def _nobody(address: Address, reason: str) -> str:
    return (
        f"No server at {address}: {reason}. Start one with `mms start`, or name its address with "
        "--inference and --management."
    )


def _connection(address: Address, is_insecure: bool) -> http.client.HTTPConnection:
    if address.scheme == "unix":
        return _UnixConnection(address.path, _CONNECT_TIMEOUT_S)
    host = _REACHED_AT.get(address.host, address.host)
    if not address.is_tls:
        return http.client.HTTPConnection(host, address.port, timeout=_CONNECT_TIMEOUT_S)
    context = ssl.create_default_context()
    if is_insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return http.client.HTTPSConnection(
        host, address.port, timeout=_CONNECT_TIMEOUT_S, context=context
    )
