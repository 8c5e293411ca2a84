"""What answers requests for inference."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from mms.tensors.errors import InferError
from mms.tensors.tensor import InferRequest, InferResponse


class TensorServer(Protocol):
    """A model that takes tensors and gives tensors."""

    @property
    def explains(self) -> bool:
        """Whether it answers requests for explanations, too."""

    @property
    def reads_documents(self) -> bool:
        """Whether it reads the documents of requests that have one, and takes those without tensors."""

    def infer(
        self, requests: list[InferRequest]
    ) -> Sequence[InferResponse | InferError | Iterator[InferResponse | InferError]]:
        """Return an answer for each request, in their order, or why it has none; for one that takes parts also an
        iterator of answers.

        Raises MemoryError and what no `except Exception` catches; what else it raises fails all of them.
        """
