"""Calls to a running server over TCP, TLS or a Unix socket."""

from __future__ import annotations

import http.client
import json
import os
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mms.settings import Address


class ServerUnreachable(Exception):
    """No server answers there. The message is for people and names the address."""


class ServerRefused(Exception):
    """The server answered with an error status; the message is the server's own."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A response. The names in `headers` are lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """Return the body's JSON. Raises ServerRefused for a body that is none: another server answers there."""
        try:
            return json.loads(self.body)
        except ValueError:
            raise ServerRefused(f"the answer is not JSON: {self.text[:200]!r}") from None


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class ServerClient:
    """One listener of a server. A connection is made for each call."""

    def __init__(
        self,
        address: Address,
        flag: str,
        *,
        is_insecure: bool = False,
        client_certificate: str | None = None,
        timeout_s: float = 300.0,
    ) -> None:
        """`flag` is the command line's word for this address; `is_insecure`: any certificate will do.

        `client_certificate`: a PEM file of a certificate and its key. The variable MMS_API_KEY holds the key.
        """
        self.address = address
        self._flag = flag
        self._is_insecure = is_insecure
        self._client_certificate = client_certificate
        self._timeout_s = timeout_s

    def __repr__(self) -> str:
        return f"<ServerClient {self.address}>"

    def call(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Return the answer, whatever its status. Raises ServerUnreachable."""
        connection = self._connection()
        try:
            connection.request(method, path, body, {**_credentials(), **(headers or {})})
            response = connection.getresponse()
            fields = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, fields, response.read())
        except ssl.SSLCertVerificationError as error:
            raise ServerUnreachable(
                f"The certificate of {self.address} is not trusted ({error.verify_message}). --insecure accepts it; "
                "the variable SSL_CERT_FILE names a file of certificates to trust."
            ) from None
        except TimeoutError:
            raise ServerUnreachable(
                f"{self.address} has not answered within {self._timeout_s:g} s (--timeout)."
            ) from None
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise ServerUnreachable(
                f"No server answers at {self.address} ({reason}). Start one with "
                f"`mms serve PATH` or `multi-model-server --start`, or name its address with {self._flag}."
            ) from None
        finally:
            connection.close()

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Return the answer of a call that succeeded. Raises ServerUnreachable, ServerRefused."""
        answer = self.call(method, path, body, headers)
        if answer.status >= 400:
            raise ServerRefused(_refusal(answer))
        return answer

    def _connection(self) -> http.client.HTTPConnection:
        address = self.address.reachable
        if address.scheme == "unix":
            return _UnixConnection(address.path, self._timeout_s)
        if not address.is_tls:
            return http.client.HTTPConnection(address.host, address.port, timeout=self._timeout_s)
        context = ssl.create_default_context()
        if self._is_insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self._client_certificate is not None:
            _show_certificate(context, self._client_certificate)
        return http.client.HTTPSConnection(
            address.host, address.port, timeout=self._timeout_s, context=context
        )


def _credentials() -> dict[str, str]:
    key = os.environ.get("MMS_API_KEY", "").strip()
    return {"Authorization": f"Bearer {key}"} if key else {}


def _show_certificate(context: ssl.SSLContext, path: str) -> None:
    try:
        context.load_cert_chain(path)
    except (OSError, ValueError) as error:
        raise ServerUnreachable(
            f"--client-certificate: {path} is not a PEM file of a certificate and its key ({error})."
        ) from None


def _refusal(answer: Answer) -> str:
    try:
        error = json.loads(answer.body)
        reason = f" ({error['reason']})" if "reason" in error else ""
        return f"{answer.status} {error['type']}: {error['message']}{reason}"
    except (ValueError, KeyError, TypeError):
        return f"{answer.status}: {answer.text.strip()[:500] or '(empty body)'}"
