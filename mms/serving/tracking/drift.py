"""How far a model's newest requests lie from what it was trained on."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mms.errors import BadRequest
from mms.serving.served import ServedModel

if TYPE_CHECKING:
    from mms.drift.report import DriftReport

#: What artifacts call the file that tells of a model.
SPEC_NAME = "model_spec.yaml"


async def model_drift(served: ServedModel, last: int | None = None) -> dict[str, Any]:
    """JSON-able. `last`: how many of the newest records count; None: all that are kept.

    Raises BadRequest for a model without records or reference.
    """
    tracking = served.tracking
    if tracking is None or tracking.options.path is None:
        raise BadRequest(
            f"Model {served.name} is not tracked: register it with tracking=<path>, or tracking=memory://."
        )
    path = _reference_of(served)
    lines = tracking.recent()
    if last is not None:
        lines = lines[-last:] if last else []
    report = await asyncio.to_thread(_measure, path, lines)
    return {"modelName": served.name, "reference": path.name, **report.describe()}


def _reference_of(served: ServedModel) -> Path:
    """The file of a model's distributions: as its registration names it, else beside the model. Raises BadRequest."""
    folders = [served.archive.folder]
    if served.model_files is not None:
        folders.insert(0, served.model_files.path)
    model_path = served.options.asked.value_of("model_path")
    if model_path and "://" not in model_path:
        folders.insert(0, served.archive.folder / model_path)
    named = served.tracking.options.reference if served.tracking is not None else None
    for folder in folders:
        found = folder / (named or SPEC_NAME)
        if found.is_file():
            return found
    if named is not None:
        raise BadRequest(
            f"Model {served.name}: there is no reference {named}, in its archive or as a path."
        )
    raise BadRequest(
        f"Model {served.name} has no {SPEC_NAME} to compare with; "
        'tracking={"path": ..., "reference": ...} names another file.'
    )


def _measure(path: Path, lines: list[bytes]) -> DriftReport:
    # numpy takes longer to import than all of the front.
    from mms.drift.reference import InvalidReference, read_reference
    from mms.drift.report import measure_drift

    try:
        reference = read_reference(path)
    except (InvalidReference, OSError) as error:
        raise BadRequest(f"{error}.") from None
    return measure_drift(lines, reference)
