"""Records of requests as columns of numbers, one for each feature."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

#: Columns of one row; more is no table of features, but an image or text.
MAX_COLUMNS = 4_500


@dataclass(frozen=True, slots=True)
class Columns:
    """Values by feature. `errors` are records of failed requests, `unread` those without rows of numbers."""

    inputs: Mapping[str, list[float]]
    outputs: Mapping[str, list[float]]
    requests: int
    errors: int
    unread: int = 0

    def numbers(self) -> Iterator[tuple[str, npt.NDArray[np.float64]]]:
        """Yield all columns, inputs first."""
        for columns in (self.inputs, self.outputs):
            for name, values in columns.items():
                yield name, np.asarray(values, dtype=np.float64)


class _Table:
    def __init__(self, names: Sequence[str], prefix: str) -> None:
        self.columns: dict[str, list[float]] = {}
        self._names = names
        self._prefix = prefix

    def add(self, rows: Any, names: Any) -> bool:
        """Add the rows of one request; `names`: as the request has them. Return whether any number was found."""
        if not isinstance(rows, list):
            rows = [rows]
        is_found = False
        for row in rows:
            for name, value in self._cells(row, names):
                if isinstance(value, int | float) and math.isfinite(value):
                    self.columns.setdefault(name, []).append(float(value))
                    is_found = True
        return is_found

    def _cells(self, row: Any, names: Any) -> Iterable[tuple[str, Any]]:
        if isinstance(row, Mapping):
            return [(str(name), value) for name, value in row.items()]
        if not isinstance(row, list):
            row = [row]
        if len(row) > MAX_COLUMNS:
            return []
        own_names: Sequence[str] = names if isinstance(names, list) else ()
        if len(own_names) != len(row):
            own_names = self._names
        return [
            (str(own_names[at]) if len(own_names) == len(row) else f"{self._prefix}{at}", value)
            for at, value in enumerate(row)
        ]


def columns_of_lines(
    lines: Iterable[bytes],
    input_names: Sequence[str],
    output_names: Sequence[str],
    *,
    model: str | None = None,
) -> Columns:
    """Return the columns of records, JSON texts, named by the request, else by the caller, else `f0`, `p0` and on.

    `model`: other models' records are passed over. Lines that are no records count as unread.
    """
    inputs, outputs = _Table(input_names, "f"), _Table(output_names, "p")
    requests = errors = unread = 0
    for line in lines:
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError:
            unread += 1
            continue
        if not isinstance(record, dict) or (model is not None and record.get("model") != model):
            unread += not isinstance(record, dict)
            continue
        if record.get("error") is not None:
            errors += 1
            continue
        for request, response in _pairs(record):
            requests += 1
            is_read = inputs.add(request.get("inputs"), request.get("names"))
            outputs.add(response.get("outputs"), response.get("names"))
            unread += not is_read
    return Columns(inputs.columns, outputs.columns, requests, errors, unread)


def _pairs(record: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield (request, response) of a record, which may stand for several of them."""
    headers, rows = record.get("headers"), record.get("values")
    if isinstance(headers, list) and isinstance(rows, list):
        for row in rows:
            if isinstance(row, list):
                fields = dict(zip(headers, row, strict=False))
                yield _object(fields.get("request")), _object(fields.get("resp"))
        return
    yield _object(record.get("request")), _object(record.get("resp"))


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
