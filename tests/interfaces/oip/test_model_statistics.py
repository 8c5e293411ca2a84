"""Statistics of models are those that the recorder has counted."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from mms.core import Registry
from mms.errors import ModelNotFound, ModelVersionNotFound
from mms.interfaces.oip.front.statistics import model_statistics
from mms.observe.metrics.aggregates import Aggregates


def model(name: str, version: str | None, memory: int = 0) -> Any:
    workers = [SimpleNamespace(memory_bytes=memory)] if memory else []
    return SimpleNamespace(name=name, version=version, workers=workers)


@pytest.fixture
def host() -> Any:
    registry: Registry[Any] = Registry()
    for each in (model("b", "1", 7), model("b", "2"), model("a", None)):
        registry.add(each)
    counted = Aggregates()
    for version, status, seconds in (
        ("", 200, [1.0, 2.0]),
        ("1", 200, [0.5]),
        ("1", 499, [3.0]),
        ("1", 408, [4.0]),
        ("2", 500, [0.25]),
    ):
        counted.request_series("b", version, status).observe_all(seconds)
    batches = counted.batch_series("b", "1")
    batches.queue.observe_all([0.5, 0.25])
    batches.last_at = 12.5
    for size, count, entry_point_s in ((1, 2, 0.5), (4, 1, 2.0)):
        each = batches.of_size(size)
        each.count, each.entry_point_s = count, entry_point_s
    batches.of_size(4).coded = 1
    batches.of_size(4).reading_s = 0.25
    batches.of_size(4).writing_s = 0.5
    return SimpleNamespace(registry=registry, measured=lambda: counted)


def one(host: Any, name: str, version: str | None) -> Any:
    (found,) = model_statistics(host, name, version)["model_stats"]
    return found


def test_a_version_has_its_own_requests_and_the_default_one_those_that_named_none(
    host: Any,
) -> None:
    parts = one(host, "b", "1")["inference_stats"]
    assert parts["success"] == {"count": 3, "ns": 3_500_000_000}
    assert parts["fail"] == {"count": 1, "ns": 4_000_000_000}
    other = one(host, "b", "2")
    assert other["inference_stats"]["success"]["count"] == other["inference_count"] == 0
    assert other["inference_stats"]["fail"]["count"] == 1


def test_what_a_client_took_back_is_neither_a_success_nor_a_failure(host: Any) -> None:
    assert one(host, "b", "1")["response_stats"]["0"]["cancel"] == {
        "count": 1,
        "ns": 3_000_000_000,
    }


def test_each_request_of_a_batch_counts_with_the_time_of_the_batch(host: Any) -> None:
    found = one(host, "b", "1")
    assert found["inference_count"] == 3
    assert found["execution_count"] == 3
    assert found["last_inference"] == 12_500
    parts = found["inference_stats"]
    assert parts["queue"] == {"count": 2, "ns": 750_000_000}
    assert parts["compute_infer"] == {"count": 6, "ns": 8_500_000_000}
    assert parts["compute_input"] == {"count": 4, "ns": 1_000_000_000}
    assert parts["compute_output"] == {"count": 4, "ns": 2_000_000_000}
    assert found["batch_stats"] == [
        {
            "batch_size": 1,
            "compute_input": {"count": 0, "ns": 0},
            "compute_infer": {"count": 2, "ns": 500_000_000},
            "compute_output": {"count": 0, "ns": 0},
        },
        {
            "batch_size": 4,
            "compute_input": {"count": 1, "ns": 250_000_000},
            "compute_infer": {"count": 1, "ns": 2_000_000_000},
            "compute_output": {"count": 1, "ns": 500_000_000},
        },
    ]
    assert found["memory_usage"] == [{"type": "CPU", "id": 0, "byte_size": 7}]


def test_without_a_name_there_is_every_model_and_without_a_version_every_version(
    host: Any,
) -> None:
    def names(*asked: str | None) -> list[tuple[str, str]]:
        found = model_statistics(host, *asked)["model_stats"]  # type: ignore[arg-type]
        return [(each["name"], each["version"]) for each in found]

    assert names(None, None) == [("a", ""), ("b", "1"), ("b", "2")]
    assert names("b", None) == [("b", "1"), ("b", "2")]
    with pytest.raises(ModelNotFound):
        names("c", None)
    with pytest.raises(ModelVersionNotFound):
        names("b", "3")
