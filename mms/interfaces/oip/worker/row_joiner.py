"""Models that are asked with the rows of several requests in one call, where they say how many they take."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from mms.interfaces.oip.worker.outcomes import Outcome, awaited, outcome_of
from mms.interfaces.oip.worker.rows import (
    Group,
    WrongRows,
    alone,
    check_rows,
    groups_of,
    rows_of,
)
from mms.tensors.declaration import ModelDeclaration
from mms.tensors.errors import InferError
from mms.tensors.results import outputs_of, response_of
from mms.tensors.tensor import InferRequest, InferResponse, Parameter


class RowJoiner(ABC):
    """A model that is asked by `call`. A request is answered the same, whether it was joined with others or not."""

    reads_documents = False

    def __init__(self, declaration: ModelDeclaration | None, most_rows: int) -> None:
        """`most_rows`: of a call that is for several requests; 0 where each has a call of its own."""
        self._declaration = declaration
        self._most_rows = most_rows

    @property
    def explains(self) -> bool:
        return False

    @abstractmethod
    def call(self, group: Group) -> Any:
        """Ask the model once. Return what it gives, perhaps an awaitable; raises what it raises."""

    @abstractmethod
    def read(self, given: Any) -> tuple[Any, Mapping[str, Parameter]]:
        """Return the result and the parameters of what the model gave. Raises InferError for what is none."""

    @abstractmethod
    def failure(self, error: Exception) -> InferError:
        """Return what a client is told of an exception. Raises MemoryError again."""

    def infer(self, requests: list[InferRequest]) -> list[InferResponse | InferError]:
        if self._most_rows and len(requests) > 1:
            groups = groups_of(requests, self._most_rows)
        else:
            groups = [alone(place, request) for place, request in enumerate(requests)]
        answers: dict[int, InferResponse | InferError] = {}
        while groups:
            failed: list[Group] = []
            outcomes = awaited(outcome_of(self.call, group) for group in groups)
            for group, outcome in zip(groups, outcomes, strict=True):
                found = self._answers(group, outcome)
                if found is None:
                    # Whose request it was shows when each is asked for itself.
                    failed += group.apart()
                else:
                    answers |= zip(group.places, found, strict=True)
            groups = failed
        return [answers[place] for place in range(len(requests))]

    def _answers(self, group: Group, outcome: Outcome) -> list[InferResponse | InferError] | None:
        """Return the answers to requests; None where a call for several has failed as one of them may have."""
        is_joined = len(group.requests) > 1
        try:
            if isinstance(outcome, Exception):
                raise outcome
            result, parameters = self.read(outcome)
        except Exception as error:
            return None if is_joined else [self.failure(error)]
        results = [result]
        if is_joined:
            try:
                results = group.split(outputs_of(result, self._declaration), self._declaration)
            except WrongRows as error:
                return [error] * len(group.requests)
            except Exception:
                return None
        return [
            self._response(part, parameters, request)
            for part, request in zip(results, group.requests, strict=True)
        ]

    def _response(
        self, result: Any, parameters: Mapping[str, Parameter], request: InferRequest
    ) -> InferResponse | InferError:
        try:
            response = response_of(result, request, self._declaration)
            count = rows_of(request) if self._most_rows else None
            if count is not None:
                for tensor in response.outputs:
                    check_rows(tensor.name, tensor.shape, count)
            return response._replace(parameters=parameters) if parameters else response
        except Exception as error:
            return self.failure(error)
