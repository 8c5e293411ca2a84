"""What a call can fail with."""

from __future__ import annotations

from mms.text.address import Address


class ClientError(Exception):
    """A call has failed. The message is for people."""


class ServerUnreachable(ClientError):
    """No server answers there, or its connection broke off.

    `reason`: why, in a few words. `is_unsent`: nothing of the request has reached the server.
    """

    def __init__(self, address: Address, reason: str, *, is_unsent: bool = False) -> None:
        super().__init__(
            f"No server answers at {address} ({reason})."
            if is_unsent
            else f"The connection to {address} broke off ({reason})."
        )
        self.address = address
        self.reason = reason
        self.is_unsent = is_unsent


class CertificateNotTrusted(ServerUnreachable):
    """The server's certificate, or ours, is not fit for the connection."""

    def __init__(self, address: Address, reason: str) -> None:
        super().__init__(address, reason, is_unsent=True)
        self.args = (f"The certificate of {address} is not trusted ({reason}).",)


class DeadlineExceeded(ClientError):
    """No answer came in time, or the server had none in time for a prediction."""
