"""A server of tensors that is made when the first request for it comes: most models have no use for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from mms.tensors.errors import InferError
from mms.tensors.server import TensorServer
from mms.tensors.tensor import InferRequest, InferResponse


class LateServer:
    """A `TensorServer` that `make` returns."""

    def __init__(self, make: Callable[[], TensorServer]) -> None:
        self._make = make
        self._server: TensorServer | None = None

    def __repr__(self) -> str:
        return f"<LateServer of {self._server!r}>"

    @property
    def explains(self) -> bool:
        return self._made().explains

    @property
    def reads_documents(self) -> bool:
        return self._made().reads_documents

    def infer(
        self, requests: list[InferRequest]
    ) -> Sequence[InferResponse | InferError | Iterator[InferResponse | InferError]]:
        return self._made().infer(requests)

    def _made(self) -> TensorServer:
        if self._server is None:
            self._server = self._make()
        return self._server
