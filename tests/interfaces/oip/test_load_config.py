"""The parameter `config` of a load says how a model runs, or is refused by the name of what has no effect."""

from __future__ import annotations

import json
from typing import Any

import pytest

from archiver.model_config import WorkerBounds
from mms.errors import BadRequest
from mms.interfaces.oip.front.load_config import read_load_config


@pytest.mark.parametrize(
    ("said", "values", "workers"),
    [
        ({}, {}, None),
        ({"name": "m"}, {}, None),
        ({"max_batch_size": 8}, {"batch_size": 8}, None),
        ({"max_batch_size": 0}, {"batch_size": 1}, None),
        ({"batchSize": 3, "maxWorkers": 2}, {"batch_size": 3}, WorkerBounds(2, 2)),
        (
            {"dynamic_batching": {"max_queue_delay_microseconds": 1500}},
            {"max_batch_delay_ms": 2},
            None,
        ),
        ({"dynamic_batching": {}}, {"max_batch_delay_ms": 0}, None),
        (
            {"instance_group": [{"name": "g", "count": 3, "kind": "KIND_CPU"}]},
            {"gpu_ids": ()},
            WorkerBounds(3, 3),
        ),
        (
            {"instance_group": [{"kind": "KIND_GPU", "gpus": [0, 1]}]},
            {"gpu_ids": (0, 1)},
            WorkerBounds(1, 1),
        ),
    ],
)
def test_what_has_an_effect_is_read(
    said: dict[str, Any], values: dict[str, Any], workers: WorkerBounds | None
) -> None:
    config = read_load_config(json.dumps(said), "m")
    assert config.values == values
    assert config.workers == workers


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (5, "a text with a JSON object"),
        ("[1]", "a JSON object is right"),
        ("{", "not JSON"),
        ("[" * 100_000, "characters"),
        ("[" * 60_000, "not JSON"),
        ('{"name": "other"}', "'other'"),
        ('{"backend": "onnxruntime"}', "backend"),
        ('{"handler": "evil:handle"}', "handler"),
        ('{"max_batch_size": "many"}', "max_batch_size"),
        ('{"max_batch_size": -1}', "max_batch_size"),
        ('{"max_batch_size": false}', "max_batch_size"),
        ('{"max_batch_size": 0.0}', "max_batch_size"),
        ('{"max_batch_size": 8, "batchSize": 4}', "both max_batch_size and batchSize"),
        ('{"minWorkers": 4, "instance_group": [{}]}', "both minWorkers and instance_group"),
        ('{"maxBatchDelay": 4, "dynamic_batching": {}}', "both maxBatchDelay and dynamic_batching"),
        ('{"instance_group": [{"kind": "KIND_GPU"}]}', "KIND_GPU without gpus"),
        ('{"instance_group": [{"kind": "KIND_CPU", "gpus": [0]}]}', "CPU (instance_group)"),
        ('{"deviceType": "CPU", "instance_group": [{"gpus": [0]}]}', "CPU (deviceType)"),
        ('{"dynamic_batching": 1}', "dynamic_batching"),
        ('{"dynamic_batching": {"preferred_batch_size": [4]}}', "preferred_batch_size"),
        ('{"dynamic_batching": {"max_queue_delay_microseconds": -1}}', "microseconds"),
        ('{"instance_group": []}', "instance_group"),
        ('{"instance_group": [{"count": 1}, {"count": 2}]}', "one group"),
        ('{"instance_group": [{"count": "x"}]}', "minWorkers"),
        ('{"instance_group": [{"kind": "KIND_TPU"}]}', "KIND_TPU"),
        ('{"instance_group": [{"rate_limiter": {}}]}', "rate_limiter"),
    ],
)
def test_what_has_none_is_refused_by_name(text: Any, words: str) -> None:
    with pytest.raises(BadRequest, match=r".") as caught:
        read_load_config(text, "m")
    assert words in (caught.value.message or "")
