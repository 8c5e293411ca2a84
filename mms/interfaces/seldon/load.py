"""What a worker is told of a component of Seldon's, besides what it is told of every model."""

from __future__ import annotations

from dataclasses import dataclass

from mms.wire.messages import Message


@dataclass(slots=True)
class ComponentLoad(Message):
    """The part of `Load` for components."""

    #: Answers are as Seldon's wrapper has them where the server's own say more.
    is_strict: bool = False
    joins_rows: bool = False
    validates_inputs: bool = False
    #: Of the component in its deployment, where somebody names it.
    unit_id: str | None = None
    unit_image: str | None = None
    #: The file that the component is kept in over restarts.
    persistence_file: str | None = None
