"""The `meta` of answers: tags, metrics, puid and requestPath, put together without changing the request's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

UNKNOWN_UNIT = "NOT_IMPLEMENTED"
UNKNOWN_IMAGE = f"{UNKNOWN_UNIT}:{UNKNOWN_UNIT}"


def own_request_path(unit_id: str | None, unit_image: str | None) -> dict[str, str]:
    """Return a component's entry in requestPath; none where it has no id."""
    if unit_id is None or unit_id == UNKNOWN_UNIT:
        return {}
    return {unit_id: UNKNOWN_IMAGE if unit_image is None else unit_image}


def response_meta(
    request_meta: Mapping[str, Any] | None,
    *,
    tags: Mapping[str, Any] | None = None,
    runtime_tags: Mapping[str, Any] | None = None,
    metrics: Sequence[Mapping[str, Any]] = (),
    request_path: Mapping[str, str] | None = None,
    puid: Any = None,
) -> dict[str, Any]:
    """Return the meta of an answer; members without content are left out.

    Tags: the request's, then `tags`, then `runtime_tags`, later ones win. Metrics: the request's,
    then `metrics`. `request_path`: the component's own entry, over which the request's wins. For
    routes and feedback, which carry nothing of the request but its puid, `request_meta` is None.
    """
    request_meta = request_meta or {}
    all_tags = {**(request_meta.get("tags") or {}), **(tags or {}), **(runtime_tags or {})}
    all_metrics = [*(request_meta.get("metrics") or ()), *metrics]
    path = {**(request_path or {}), **(request_meta.get("requestPath") or {})}
    meta: dict[str, Any] = {}
    if all_tags:
        meta["tags"] = all_tags
    if all_metrics:
        meta["metrics"] = all_metrics
    if puid:
        meta["puid"] = puid
    if path:
        meta["requestPath"] = path
    return meta


def merged_meta(metas: Iterable[Mapping[str, Any] | None]) -> dict[str, Any]:
    """Return what an aggregate takes over from its messages: tags and paths (later ones win), all metrics."""
    tags: dict[str, Any] = {}
    path: dict[str, str] = {}
    metrics: list[Any] = []
    for meta in metas:
        if meta:
            tags.update(meta.get("tags") or {})
            path.update(meta.get("requestPath") or {})
            metrics.extend(meta.get("metrics") or ())
    return {"tags": tags, "requestPath": path, "metrics": metrics}
