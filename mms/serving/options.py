"""What a registration asks for, and what an operation on a model came to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mms.interfaces.parameters import InterfaceParameters
from mms.registration import attribute


@dataclass(frozen=True, slots=True)
class RegisterOptions(InterfaceParameters):
    """A registration: the parameters of all models, and those of each interface."""

    #: The models that its code may call: key -> [name, version or None].
    calls: dict[str, list[Any]] | None = attribute()
    #: A folder that is served where it is, without an archive; for commands, not for clients.
    folder: Path | None = attribute(is_kept=False)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an operation ended: an HTTP status, a reason phrase where it is not the usual one, the text of `status`."""

    status: int
    phrase: str | None
    text: str
    #: What of the operation has no effect, in sentences.
    without_effect: Sequence[str] = ()
    #: Of a registration: the model that it made.
    model_name: str = ""
    model_version: str | None = None

    def of_model(self, name: str, version: str | None, without_effect: Sequence[str]) -> Outcome:
        """Return the same as told of a registration that made this model."""
        return replace(self, without_effect=without_effect, model_name=name, model_version=version)


SCALED = Outcome(200, None, "Workers scaled")
SCALING = Outcome(210, "Partial Success", "Workers scaling in progress...")
PROCESSING = Outcome(202, None, "Processing worker updates...")
