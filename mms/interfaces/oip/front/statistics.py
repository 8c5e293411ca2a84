"""Statistics of models since the start of the server, as Triton's clients read them: REST and gRPC say the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from mms.errors import CLIENT_CLOSED_REQUEST
from mms.observe.metrics.aggregates import BatchSeries, Histogram

if TYPE_CHECKING:
    from mms.serving import ModelHost, ServedModel

_NOTHING: Final = {"count": 0, "ns": 0}


def model_statistics(host: ModelHost, name: str | None, version: str | None) -> dict[str, Any]:
    """Return the statistics of a version, of all versions of a model, or of all models: JSON-able.

    Raises ModelNotFound and ModelVersionNotFound.
    """
    if name is None:
        models = host.registry.all()
    elif version is None:
        models = host.registry.versions(name)
    else:
        models = [host.registry.get(name, version)]
    aggregates = host.measured()
    requests: dict[str, list[tuple[str, int, Histogram]]] = {served.name: [] for served in models}
    for (model, of_version, status), series in aggregates.requests.items():
        if model in requests:
            requests[model].append((of_version, status, series))
    models.sort(key=lambda served: (served.name, served.version or ""))
    return {
        "model_stats": [
            _of(
                served,
                aggregates.batches.get((served.name, served.version or ""), BatchSeries()),
                requests[served.name],
                is_default=host.registry.is_default(served),
            )
            for served in models
        ]
    }


def _of(
    served: ServedModel,
    batches: BatchSeries,
    requests: list[tuple[str, int, Histogram]],
    *,
    is_default: bool,
) -> dict[str, Any]:
    """`requests`: (version, status, seconds) of all versions of the model."""
    # Requests are counted by the version that they named. Those that named none have been for the default one.
    versions = {served.version or ""}
    if is_default:
        versions.add("")
    done = [(status, series) for version, status, series in requests if version in versions]
    success = _sum(series for status, series in done if status < 400)
    cancel = _sum(series for status, series in done if status == CLIENT_CLOSED_REQUEST)
    fail = _sum(
        series for status, series in done if status >= 400 and status != CLIENT_CLOSED_REQUEST
    )
    sizes = batches.by_size
    infer = {
        "count": sum(size * each.count for size, each in sizes.items()),
        "ns": _ns(sum(size * each.entry_point_s for size, each in sizes.items())),
    }
    coded = sum(size * each.coded for size, each in sizes.items())
    reading_s = sum(size * each.reading_s for size, each in sizes.items())
    writing_s = sum(size * each.writing_s for size, each in sizes.items())
    inputs = {"count": coded, "ns": _ns(reading_s)}
    outputs = {"count": coded, "ns": _ns(writing_s)}
    return {
        "name": served.name,
        "version": served.version or "",
        "last_inference": int(batches.last_at * 1000),
        "inference_count": success["count"],
        "execution_count": sum(each.count for each in sizes.values()),
        "inference_stats": {
            "success": success,
            "fail": fail,
            "queue": {"count": batches.queue.count, "ns": _ns(batches.queue.total)},
            "compute_input": inputs,
            "compute_infer": infer,
            "compute_output": outputs,
            "cache_hit": dict(_NOTHING),
            "cache_miss": dict(_NOTHING),
        },
        "batch_stats": [
            {
                "batch_size": size,
                "compute_input": {"count": each.coded, "ns": _ns(each.reading_s)},
                "compute_infer": {"count": each.count, "ns": _ns(each.entry_point_s)},
                "compute_output": {"count": each.coded, "ns": _ns(each.writing_s)},
            }
            for size, each in sorted(sizes.items())
        ],
        "memory_usage": _memory(served),
        "response_stats": {
            "0": {
                "compute_infer": dict(infer),
                "compute_output": dict(outputs),
                "success": dict(success),
                "fail": dict(fail),
                "empty_response": dict(_NOTHING),
                "cancel": cancel,
            }
        },
    }


def _memory(served: ServedModel) -> list[dict[str, Any]]:
    size = sum(worker.memory_bytes for worker in served.workers)
    return [{"type": "CPU", "id": 0, "byte_size": size}] if size else []


def _sum(found: Any) -> dict[str, int]:
    every: list[Histogram] = list(found)
    return {
        "count": sum(each.count for each in every),
        "ns": _ns(sum(each.total for each in every)),
    }


def _ns(seconds: float) -> int:
    return int(seconds * 1e9)
