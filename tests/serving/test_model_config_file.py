"""A model's own file and its entry in the setting `models` say how it runs where its registration does not."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

import archiver.model_config
from archiver.model_config import read_config_file, read_config_keys
from mms.errors import BadRequest, InvalidModel
from mms.serving import RegisterOptions

OK = "def handle(data, context):\n    return data and ['OK'] * len(data)\n"
FILE = """
minWorkers: 1
maxWorkers: 3
batchSize: 4
maxBatchDelay: 50
responseTimeout: 11
startupTimeout: 12
clientTimeoutInMills: 1500
jobQueueSize: 7
retry: false
batchPolicy: fixed
handler: {anything: [1]}
"""


def write(bench: Any, text: str, name: str = "m") -> str:
    url: str = bench.write(name, OK)
    (bench.store / url / "model-config.yaml").write_text(text)
    return url


async def test_the_file_of_an_archive_says_how_the_model_runs(bench: Any) -> None:
    outcome = await bench.host.register(RegisterOptions(write(bench, FILE)))
    assert outcome.text == "Workers scaled"
    described = bench.described("m")
    assert (described["minWorkers"], described["maxWorkers"]) == (1, 3)
    assert len(described["workers"]) == 1
    config = bench.host.registry.get("m").model.config
    assert (config.batch_size, config.max_batch_delay_s) == (4, 0.05)
    assert (config.response_timeout_s, config.request_timeout_s) == (11.0, 1.5)
    assert (config.queue_capacity, config.has_retry, config.batch_policy) == (7, False, "fixed")
    assert bench.host.registry.get("m").load_timeout_s == 12.0


async def test_a_parameter_goes_before_the_file_and_the_file_before_the_setting(
    make_bench: Any,
) -> None:
    said = {"batchSize": 2, "maxBatchDelay": 20, "responseTimeout": 22, "minWorkers": 2}
    bench = await make_bench(models={"m": {"1.0": said}, "other": {"1.0": {"batchSize": 9}}})
    write(bench, "batchSize: 4\nmaxBatchDelay: 40\n")
    await bench.host.register(RegisterOptions("m", batch_size=1, initial_workers=0))
    described = bench.described("m")
    assert (described["batchSize"], described["maxBatchDelay"]) == (1, 40)
    assert (described["responseTimeout"], described["minWorkers"]) == (22.0, 0)


async def test_the_setting_tells_versions_apart(make_bench: Any) -> None:
    bench = await make_bench(models={"m": {"1": {"batchSize": 2}, "2": {"batchSize": 3}}})
    for version in ("1", "2", "3"):
        await bench.register("m", OK, version=version, initial_workers=0)
    found = [bench.described("m", version)["batchSize"] for version in ("1", "2", "3")]
    assert found == [2, 3, 1]


@pytest.mark.parametrize(("version", "told"), [("3", "version 3"), (None, "which has no version")])
async def test_a_version_that_the_setting_leaves_out_is_told(
    make_bench: Any, caplog: pytest.LogCaptureFixture, version: str | None, told: str
) -> None:
    bench = await make_bench(models={"m": {"1": {"batchSize": 2}, "2": {"batchSize": 3}}})
    with caplog.at_level(logging.WARNING, "mms.serving"):
        await bench.register("m", OK, version=version, initial_workers=0)
    text = f"The setting models has no effect on model m, {told}: it names the versions 1 and 2."
    assert text in caplog.text


async def test_what_is_wrong_in_the_file_is_told_and_has_no_effect(
    bench: Any, caplog: pytest.LogCaptureFixture
) -> None:
    text = "batchSize: many\nmaxWorker: 3\nparallelType: pp\nminWorkers: -1\nhandler: 1\n"
    with caplog.at_level(logging.WARNING, "mms.serving"):
        await bench.host.register(RegisterOptions(write(bench, text), initial_workers=0))
    assert bench.described("m")["batchSize"] == 1
    told = caplog.text
    assert "batchSize is 'many' and has no effect; it should be a whole number from 1 on" in told
    assert "unknown key 'maxWorker' has no effect; did you mean maxWorkers?" in told
    assert "parallelType is TorchServe's and has no effect here" in told
    assert "minWorkers -1 and maxWorkers None have no effect" in told
    assert "handler " not in told
    assert "parallelType of model-config.yaml has no effect on model m: only handlers of" in told


async def test_the_handler_finds_the_whole_file_in_its_context(bench: Any) -> None:
    code = (
        "import json\n"
        "def handle(data, context):\n"
        "    return data and [json.dumps(context.model_yaml_config)] * len(data)\n"
    )
    for name, text in (
        ("m", "batchSize: 2\nhandler: {day: 2024-05-01, k: [1, null]}\n"),
        ("bare", ""),
    ):
        url = bench.write(name, code)
        if text:
            (bench.store / url / "model-config.yaml").write_text(text)
        await bench.host.register(RegisterOptions(url, initial_workers=1))
    answers = [json.loads((await bench.predict(name))[1]) for name in ("m", "bare")]
    assert answers[0] == {"batchSize": 2, "handler": {"day": "2024-05-01", "k": [1, None]}}
    assert answers[1] == {}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: &a 1\nb: *a\n", "model-config.yaml cannot be read: the alias"),
        ("- 1\n", "must be a mapping such as `batchSize: 8`"),
        ("batchSize: 2024-99-99", "is not a valid timestamp"),
    ],
)
async def test_a_file_that_cannot_be_read_refuses_the_model(
    bench: Any, text: str, reason: str
) -> None:
    with pytest.raises(InvalidModel, match=reason):
        await bench.host.register(RegisterOptions(write(bench, text)))
    assert not bench.host.registry.all()


async def test_workers_of_a_model_are_on_the_gpus_that_are_named(make_bench: Any) -> None:
    bench = await make_bench(gpu_count=4)
    write(bench, "deviceIds: [1, 3]\n")
    await bench.host.register(RegisterOptions("m", initial_workers=3))
    described = bench.described("m")
    assert described["gpuIds"] == [1, 3]
    assert sorted(worker["gpuId"] for worker in described["workers"]) == [1, 1, 3]
    await bench.host.register(RegisterOptions("m", model_name="n", gpu_ids=(0,), initial_workers=2))
    assert {worker["gpuId"] for worker in bench.described("n")["workers"]} == {0}
    write(bench, "deviceType: cpu\n", "c")
    await bench.host.register(RegisterOptions("c", initial_workers=1))
    assert not bench.described("c")["workers"][0]["gpu"]


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (2, "There is no GPU 2, which gpu_ids names: this server uses 2 (0 to 1)"),
        (0, "this server uses none"),
    ],
)
async def test_a_gpu_that_is_not_there_is_refused(make_bench: Any, count: int, text: str) -> None:
    bench = await make_bench(gpu_count=count)
    bench.write("m", OK)
    with pytest.raises(BadRequest) as caught:
        await bench.host.register(RegisterOptions("m", gpu_ids=(0, 2) if count else (0,)))
    assert text in caught.value.message
    assert not bench.host.registry.all()


def test_unknown_keys_by_the_thousand_cost_little_and_are_told_in_few_lines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compared: list[str] = []

    def compare(name: str, known: object) -> str:
        compared.append(name)
        return "; did you mean batchSize?"

    monkeypatch.setattr(archiver.model_config, "did_you_mean", compare)
    said = {f"batchSiz{number}": 1 for number in range(5000)} | {"maxBatchDelay": 7}
    config = read_config_keys(said, besides=())
    assert len(compared) == 100
    assert len(config.problems) == 101
    assert config.problems[-1] == "4900 more unknown keys have no effect."
    assert config.values == {"max_batch_delay_ms": 7}


@pytest.mark.parametrize("key", ["batchSize", "minWorkers", "deviceType"])
def test_a_number_of_many_digits_is_told_in_brief(key: str) -> None:
    text = f"{key}: 0x{'F' * 6000}\n".encode()
    [problem] = read_config_keys(read_config_file(text, "file")).problems
    assert key in problem and len(problem) < 300
