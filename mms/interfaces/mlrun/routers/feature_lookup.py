"""Features in the place of keys: what an enriching router puts into requests. No input or output but a lookup's own."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from mms.brief import brief
from mms.durations import bounded_s
from mms.interfaces.mlrun.errors import with_strict_status

#: What stands for a feature's own statistics in an impute policy.
STATISTICS = {"$mean": "mean", "$max": "max", "$min": "min", "$std": "std", "$count": "count"}
ALL_FEATURES = "*"


class FeatureLookup(Protocol):
    """Where features come from. `names`: of the values in each row; `statistics`: {feature: {"mean": ...}}."""

    @property
    def names(self) -> Sequence[str]: ...

    @property
    def statistics(self) -> Mapping[str, Mapping[str, float]]: ...

    def get(self, entities: list[Any]) -> list[Any]:
        """A row of values, or a dict by feature, for each entity; None for one that is unknown.

        An entity is what a client sent: a dict of keys, or a list of their values.
        """


class TableLookup:
    """Features of a table in memory: rows of dicts, found by the values of its key columns."""

    def __init__(
        self,
        rows: Sequence[Mapping[str, Any]],
        keys: Sequence[str],
        names: Sequence[str] | None = None,
        statistics: Mapping[str, Mapping[str, float]] | None = None,
    ) -> None:
        """`names`: the features in their order; all columns that are no key where not given. Raises ValueError."""
        if not keys:
            raise ValueError("a table of features needs the names of its key columns")
        self.keys = tuple(keys)
        self._rows: dict[tuple[Any, ...], Mapping[str, Any]] = {}
        for row in rows:
            missing = [key for key in self.keys if key not in row]
            if missing:
                raise ValueError(
                    f"a row of the table has no key {', '.join(missing)}: {brief(row)}"
                )
            self._rows[tuple(row[key] for key in self.keys)] = row
        if names is None:
            first = next(iter(self._rows.values()), {})
            names = [name for name in first if name not in self.keys]
        self.names: Sequence[str] = list(names)
        self.statistics = _statistics(self._rows.values(), self.names)
        self.statistics.update(statistics or {})

    def __repr__(self) -> str:
        return f"<TableLookup of {len(self._rows)} rows by {', '.join(self.keys)}>"

    def get(self, entities: list[Any]) -> list[Any]:
        found: list[Any] = []
        for entity in entities:
            row = self._rows.get(self._key(entity))
            found.append(None if row is None else [row.get(name) for name in self.names])
        return found

    def _key(self, entity: Any) -> tuple[Any, ...]:
        if isinstance(entity, dict):
            missing = [key for key in self.keys if key not in entity]
            if missing:
                raise with_strict_status(
                    ValueError(f"an input has no key {', '.join(missing)}: {brief(entity)}"), 422
                )
            return tuple(entity[key] for key in self.keys)
        if isinstance(entity, list | tuple):
            return tuple(entity)
        return (entity,)


class CallableLookup:
    """Features from a function: entities in, rows out."""

    def __init__(
        self, function: Callable[[list[Any]], list[Any]], names: Sequence[str] = ()
    ) -> None:
        self._function = function
        self.names = names
        self.statistics: dict[str, dict[str, float]] = {}

    def __repr__(self) -> str:
        return f"<CallableLookup {getattr(self._function, '__name__', self._function)!r}>"

    def get(self, entities: list[Any]) -> list[Any]:
        return self._function(entities)


class HTTPLookup:
    """Features from a service: POST {"inputs": [entities], "feature_vector"} is answered with {"outputs": [rows]}.

    The answer may have `names` and `statistics` of the features as well.
    """

    def __init__(self, url: str, feature_vector_uri: str = "", timeout_s: float = 10.0) -> None:
        self.url = url
        self.feature_vector_uri = feature_vector_uri
        self.timeout_s = bounded_s(timeout_s)
        self.names: Sequence[str] = ()
        self.statistics: Mapping[str, Mapping[str, float]] = {}

    def __repr__(self) -> str:
        return f"<HTTPLookup {self.url}>"

    def request_body(self, entities: list[Any]) -> bytes:
        from mms.bodies.json_text import to_json

        return to_json({"inputs": entities, "feature_vector": self.feature_vector_uri})

    def read_answer(self, body: bytes) -> list[Any]:
        """The rows of an answer. Raises ValueError."""
        from mms.bodies.json_text import from_json

        answer = from_json(body)
        if isinstance(answer, dict):
            self.names = answer.get("names") or self.names
            self.statistics = answer.get("statistics") or self.statistics
            answer = answer.get("outputs")
        if not isinstance(answer, list):
            raise ValueError(f"{self.url} answered without a list of outputs")
        return answer

    def get(self, entities: list[Any]) -> list[Any]:
        from urllib.request import Request, urlopen

        request = Request(
            self.url,
            data=self.request_body(entities),
            headers={"Content-Type": "application/json"},
            method="POST",
        )
        with urlopen(request, timeout=self.timeout_s) as answer:
            return self.read_answer(answer.read())


def lookup_of(described: Any, feature_vector_uri: str = "") -> FeatureLookup:
    """A lookup of its description: an object with `get`, a function, an address, or a dict of a table.

    The dict: {"rows": [...], "keys": [...][, "names", "statistics"]}. Raises ValueError.
    """
    if isinstance(described, str) and described.startswith(("http://", "https://")):
        return HTTPLookup(described, feature_vector_uri)
    if isinstance(described, Mapping):
        if "url" in described:
            timeout_s = float(described.get("timeout_s", 10.0))
            return HTTPLookup(described["url"], feature_vector_uri, timeout_s)
        unknown = set(described) - {"rows", "keys", "names", "statistics"}
        if unknown or "rows" not in described:
            raise ValueError("a lookup that is a dict has rows and keys, or url")
        return TableLookup(
            described["rows"],
            described.get("keys") or (),
            described.get("names"),
            described.get("statistics"),
        )
    if hasattr(described, "get"):
        found: FeatureLookup = described
        return found
    if callable(described):
        return CallableLookup(described)
    raise ValueError(
        f"lookup is {brief(described)}, must be an object with get(), a function, an http(s) address or a "
        "dict with rows and keys"
    )


def enriched(
    entities: list[Any],
    lookup: FeatureLookup,
    impute_policy: Mapping[str, Any] | None = None,
) -> list[list[Any]]:
    """The values of all features of each entity, what is missing filled by the policy. Raises ValueError.

    impute_policy: {feature or "*": a constant or one of $mean, $max, $min, $std, $count}.
    """
    return filled(entities, lookup.get(entities), lookup, impute_policy)


def filled(
    entities: list[Any],
    rows: Any,
    lookup: FeatureLookup,
    impute_policy: Mapping[str, Any] | None = None,
) -> list[list[Any]]:
    """The same for rows that were looked up before."""
    if not isinstance(rows, list | tuple) or len(rows) != len(entities):
        count = len(rows) if isinstance(rows, list | tuple) else "no list of"
        raise ValueError(f"the lookup gave {count} rows for {len(entities)} inputs")
    policy = impute_policy or {}
    names = list(getattr(lookup, "names", None) or ())
    statistics = getattr(lookup, "statistics", None) or {}
    found = []
    for entity, row in zip(entities, rows, strict=True):
        if isinstance(row, Mapping):
            order = names or list(row)
            values = [row.get(name) for name in order]
        elif row is None:
            order, values = names, [None] * len(names)
            if not names or not policy:
                raise with_strict_status(
                    ValueError(f"no features are known of input {brief(entity)}"), 422
                )
        else:
            values = list(row)
            order = names or [f"f{place}" for place in range(len(values))]
            if len(order) != len(values):
                raise ValueError(f"the lookup gave {len(values)} values for {len(order)} features")
        found.append(
            [
                _imputed(name, policy, statistics) if _is_missing(value) else value
                for name, value in zip(order, values, strict=True)
            ]
        )
    return found


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _imputed(
    name: str, policy: Mapping[str, Any], statistics: Mapping[str, Mapping[str, float]]
) -> Any:
    value = policy.get(name, policy.get(ALL_FEATURES))
    if not isinstance(value, str) or value not in STATISTICS:
        return value
    known = statistics.get(name, {})
    if STATISTICS[value] not in known:
        raise ValueError(f"impute_policy fills {name} with {value}, which the lookup does not know")
    return known[STATISTICS[value]]


def _statistics(rows: Any, names: Sequence[str]) -> dict[str, Mapping[str, float]]:
    found: dict[str, Mapping[str, float]] = {}
    for name in names:
        values = [
            float(row[name])
            for row in rows
            if isinstance(row.get(name), int | float) and not _is_missing(row[name])
        ]
        if values:
            mean = math.fsum(values) / len(values)
            divisor = max(len(values) - 1, 1)
            found[name] = {
                "mean": mean,
                "max": max(values),
                "min": min(values),
                "std": math.sqrt(math.fsum((value - mean) ** 2 for value in values) / divisor),
                "count": float(len(values)),
            }
    return found
