"""What in a model's source says that it relies on full batches, and what does not."""

from __future__ import annotations

import pytest

from mms.worker.running.full_batches import find_in_source


@pytest.mark.parametrize(
    "line",
    [
        'assert self._batch_size == len(batch), "Invalid input batch size: {}".format(len(batch))',
        "assert len(data) >= self.batch_size",
        'assert len(data) == context.system_properties["batch_size"]',
        'assert len(data) == context.system_properties.get("batch_size")',
        "assert ready and len(data) == BATCH_SIZE",
        "if len(data) != batch_size: raise ValueError(len(data))",
        "if len(data) < batch_size: raise ValueError(len(data))",
        "is_full = len(data) == batchSize and batch_size",
    ],
)
def test_a_comparison_that_only_a_full_batch_passes_is_found(line: str) -> None:
    assert find_in_source(f"x = 1\n{line}\n") == 2


@pytest.mark.parametrize(
    "line",
    [
        "while len(data) < batch_size: data.append(data[0])",
        "if len(data) < self._batch_size: data += [None]",
        "for start in range(0, len(data), batch_size): run(data[start:start + batch_size])",
        "assert len(data) == len(batch_sizes)",
        "assert batch_size == 4",
        "assert len(data) > 0  # batch_size",
        "if len(data) != batch_size raise",
        "(" * 3000 + "batch_size",
    ],
)
def test_what_fills_up_or_cuts_a_batch_or_is_no_source_is_not(line: str) -> None:
    assert find_in_source(f"{line}\n") == 0
