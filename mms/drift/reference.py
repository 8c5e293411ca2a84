"""What a model was trained on, as distributions of its features."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mms.drift.records import Columns, columns_of_lines

#: Of distributions that are made from values; as many as feature stores count.
BINS = 20


class InvalidReference(ValueError):
    """The message names the file and says what would be right."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """`counts[i]` values lie from `edges[i]` up to `edges[i + 1]`, which belongs to the last bin alone."""

    counts: npt.NDArray[np.float64]
    edges: npt.NDArray[np.float64]
    mean: float | None = None
    std: float | None = None
    minimum: float | None = None
    maximum: float | None = None

    @classmethod
    def of_values(cls, values: npt.NDArray[np.float64], bins: int = BINS) -> Distribution:
        counts, edges = np.histogram(values, bins=bins)
        return cls(
            counts.astype(np.float64),
            edges.astype(np.float64),
            float(values.mean()),
            float(values.std()),
            float(values.min()),
            float(values.max()),
        )

    def count(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return how many values lie in each bin, with one bin more at either end for those outside."""
        counts, _ = np.histogram(values, bins=self.edges)
        below = np.count_nonzero(values < self.edges[0])
        above = np.count_nonzero(values > self.edges[-1])
        return np.concatenate(([below], counts, [above])).astype(np.float64)

    @property
    def padded_counts(self) -> npt.NDArray[np.float64]:
        """The counts with an empty bin at either end, as `count` has them."""
        return np.concatenate(([0.0], self.counts, [0.0]))


@dataclass(frozen=True, slots=True)
class Reference:
    """Distributions by the name of their feature. `inputs` and `outputs`: their order, where it is known."""

    features: Mapping[str, Distribution]
    inputs: Sequence[str] = ()
    outputs: Sequence[str] = field(default_factory=tuple)

    @property
    def input_names(self) -> Sequence[str]:
        return self.inputs or [name for name in self.features if name not in self.outputs]


def read_reference(path: Path) -> Reference:
    """Read a `model_spec.yaml`, JSON, CSV with a line of names, or records of an earlier time (`.jsonl`).

    Raises InvalidReference, OSError.
    """
    suffix = path.suffix.lower()
    try:
        if suffix == ".csv":
            return _of_csv(path)
        if suffix in (".jsonl", ".ndjson"):
            with open(path, "rb") as file:
                return _of_columns(columns_of_lines(file, (), ()), path)
        text = path.read_text(encoding="utf-8")
        if suffix in (".yaml", ".yml"):
            from mms.text.documents import InvalidDocument, read_yaml

            try:
                document = read_yaml(text)
            except InvalidDocument as error:
                raise InvalidReference(f"{path} is not valid YAML: {error}") from None
        else:
            document = json.loads(text)
    except UnicodeDecodeError as error:
        raise InvalidReference(f"{path} is not UTF-8 text: {error}") from None
    except (json.JSONDecodeError, RecursionError) as error:
        raise InvalidReference(f"{path} is not valid JSON: {error}") from None
    return _of_document(document, path)


def _of_document(document: Any, path: Path) -> Reference:
    """Read `{feature: {"hist": [counts, edges]}}`, or an artifact whose `spec` has that as `feature_stats`."""
    if not isinstance(document, Mapping):
        raise InvalidReference(f"{path} is not a JSON or YAML object")
    inputs: list[str] = []
    outputs: list[str] = []
    spec = document.get("spec")
    if not isinstance(spec, Mapping):
        spec = document if "feature_stats" in document else None
    if spec is not None:
        inputs, outputs = _names(spec.get("inputs")), _names(spec.get("outputs"))
        document = spec.get("feature_stats") or {}
        if not isinstance(document, Mapping) or not document:
            raise InvalidReference(
                f"{path} has no spec.feature_stats: distributions of the features it was trained on"
            )
    features = {}
    for name, statistics in document.items():
        if isinstance(statistics, Mapping) and statistics.get("hist") is not None:
            features[str(name)] = _of_statistics(str(name), statistics, path)
    if not features:
        raise InvalidReference(
            f'{path} has no histogram: each feature needs {{"hist": [counts, edges]}}'
        )
    return Reference(features, inputs, outputs)


def _of_statistics(name: str, statistics: Mapping[str, Any], path: Path) -> Distribution:
    try:
        counts, edges = (np.asarray(part, dtype=np.float64) for part in statistics["hist"])
    except (TypeError, ValueError):
        counts = edges = np.empty(0)
    is_right = (
        counts.ndim == edges.ndim == 1
        and len(counts) > 0
        and len(edges) == len(counts) + 1
        and np.isfinite(counts).all()
        and (counts >= 0).all()
        and (np.diff(edges) >= 0).all()
    )
    if not is_right:
        raise InvalidReference(
            f"{path}: hist of {name} must be [counts, edges], with one edge more than counts, in order"
        )
    return Distribution(
        counts,
        edges,
        _number(statistics.get("mean")),
        _number(statistics.get("std")),
        _number(statistics.get("min")),
        _number(statistics.get("max")),
    )


def _of_csv(path: Path) -> Reference:
    values: dict[str, list[float]] = {}
    with open(path, encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        names = list(reader.fieldnames or ())
        for row in reader:
            for name in names:
                number = _number(row.get(name))
                if number is not None:
                    values.setdefault(name, []).append(number)
    return _of_columns(
        Columns({name: values[name] for name in names if name in values}, {}, 0, 0), path
    )


def _of_columns(columns: Columns, path: Path) -> Reference:
    features = {}
    for name, values in columns.numbers():
        if len(values):
            features[name] = Distribution.of_values(values)
    if not features:
        raise InvalidReference(f"{path} has no column of numbers")
    outputs = [name for name in columns.outputs if name in features]
    return Reference(features, [name for name in columns.inputs if name in features], outputs)


def _names(features: Any) -> list[str]:
    names = []
    for feature in features if isinstance(features, list) else ():
        name = feature.get("name") if isinstance(feature, Mapping) else feature
        if name is not None:
            names.append(str(name))
    return names


def _number(value: Any) -> float | None:
    if value is None or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None
