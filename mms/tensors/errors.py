"""What is wrong with a tensor, a request or a result."""

from __future__ import annotations


class InferError(Exception):
    """A request that gets no answer of tensors. `message` is for the client; the gRPC code follows from `status`.

    `type_name`: what a client of a protocol with names for errors sees; empty: that of the status.
    """

    def __init__(self, message: str, status: int = 400, type_name: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.type_name = type_name
