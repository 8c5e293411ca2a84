"""`mms tune`: what it refuses before it asks a server, and how it writes `model-config.yaml`."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from mms.cli.bench.model_config import with_numbers
from mms.cli.mms import main
from mms.load_test.tuning import Numbers

NUMBERS = Numbers(3, 2, 16, 5)
WRITTEN = {
    "minWorkers": 3,
    "maxWorkers": 3,
    "batchSize": 16,
    "maxBatchDelay": 5,
    "threadsPerWorker": 2,
}


@pytest.mark.parametrize(
    ("before", "kept"),
    [
        ("", {}),
        ("a: 1", {"a": 1}),
        ("batchSize: 1 # why\nmaxBatchDelay :   100\nminWorkers:\na: {b: 2}\n", {"a": {"b": 2}}),
        ("handler:\n  batchSize: 2\n# batchSize: 3\n", {"handler": {"batchSize": 2}}),
        ('batchSize: "1"\n', {}),
    ],
)
def test_the_numbers_take_the_place_of_those_of_the_file_and_the_rest_stays(
    before: str, kept: dict
) -> None:
    text = with_numbers(before, NUMBERS)
    assert yaml.safe_load(text) == {**kept, **WRITTEN}
    assert with_numbers(text, NUMBERS) == text
    assert all(comment in text for comment in ("# why", "# batchSize: 3") if comment in before)


@pytest.mark.parametrize(
    ("argv", "config", "exit_code", "said"),
    [
        ([], None, 2, "--slo"),
        (["--slo", "50ms"], None, 2, "is no goal"),
        (["--slo", "p99=1s", "--cpus", "2", "--max-threads", "3"], None, 2, "more than 2 CPUs"),
        (["--slo", "p99=1s", "-o", "absent/x.yaml"], None, 2, "cannot be written"),
        (["--slo", "p99=1s"], "- 1", 2, "has no keys"),
        (["--slo", "p99=1s"], "a: [", 2, "cannot be read"),
        (["--slo", "p99=1s", "--management", "http://127.0.0.1:1"], None, 3, "127.0.0.1:1"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_loaded(
    folder: Path, argv: list[str], config: str | None, exit_code: int, said: str
) -> None:
    if config is not None:
        (folder / "model-config.yaml").write_text(config)
    result = CliRunner().invoke(main, ["tune", "m", *argv])
    assert (result.exit_code, said in " ".join(result.output.split())) == (exit_code, True), (
        result.output
    )
