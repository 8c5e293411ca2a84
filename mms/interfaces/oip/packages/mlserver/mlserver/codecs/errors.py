"""What codecs cannot read or write."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..errors import MLServerError


class CodecNotFound(MLServerError):
    """There is no codec for a value or a content type."""

    def __init__(
        self,
        name: str | None = None,
        payload_type: str | None = None,
        is_input: bool = False,
        is_request: bool = False,
    ) -> None:
        named = f"with name '{name}'" if name else ""
        typed = f"with type {payload_type}" if payload_type else ""
        side = "input" if is_input else "output"
        kind = ("request" if is_input else "response") if is_request else "field"
        what = " and ".join(filter(None, (named, typed)))
        super().__init__(f"Codec not found for {side} {kind} {what}")


class CodecError(MLServerError):
    """A value is not what its codec reads or writes."""

    def __init__(self, msg: str) -> None:
        super().__init__(f"There was an error encoding / decoding the payload: {msg}")


class OutputNotFound(MLServerError):
    """A result has more or other parts than its function's annotation."""

    def __init__(self, output_idx: int, output_type: Any, output_hints: Iterable[Any]) -> None:
        hints = ", ".join(f"'{hint}'" for hint in output_hints)
        super().__init__(
            f"Unexpected output value at position '{output_idx}' ({output_type}). Expected outputs are {hints} "
            "outputs."
        )


class InputsNotFound(MLServerError):
    """A request has inputs that the function does not take."""

    def __init__(self, inputs: Iterable[Any], input_hints: Iterable[str]) -> None:
        names = ", ".join(f"'{each.name}'" for each in inputs)
        hints = ", ".join(f"'{name}'" for name in input_hints)
        super().__init__(f"Input {names} was not found. Available inputs are {hints}.")
