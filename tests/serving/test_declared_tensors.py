"""What an archive declares of its model's tensors: known from its registration on, and after a start, too."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mms.errors import InvalidModel
from mms.interfaces.oip.front.metadata import model_metadata
from mms.serving import RegisterOptions
from mms.serving.state.idle_models import IdleModels, idle_part

OK = "def handle(data, context):\n    return data and ['OK'] * len(data)\n"
X = {"name": "x", "datatype": "FP32", "shape": [-1, 4]}
DECLARED = {"inputs": [X], "outputs": [{"name": "y", "datatype": "INT64", "shape": [-1]}]}


def write(bench: Any, name: str = "m", **files: str) -> str:
    url: str = bench.write(name, OK)
    for file, text in files.items():
        (bench.store / url / file).write_text(text)
    return url


async def register(bench: Any, url: str, **options: Any) -> Any:
    await bench.host.register(RegisterOptions(url, initial_workers=0, **options))
    return bench.host.registry.get(url)


async def test_describe_shows_what_the_file_of_the_archive_declares(bench: Any) -> None:
    url = write(bench, **{"model-config.yaml": json.dumps({"oip": DECLARED})})
    await register(bench, url)
    assert bench.described("m")["tensors"] == DECLARED


async def test_the_manifest_and_files_of_other_servers_declare_tensors_too(bench: Any) -> None:
    url = write(bench)
    manifest = bench.store / url / "MAR-INF" / "MANIFEST.json"
    document = json.loads(manifest.read_text())
    document["model"]["extensions"] = {"oip": {"inputs": [X]}}
    manifest.write_text(json.dumps(document))
    pbtxt = 'input { name: "x" data_type: TYPE_FP32 dims: [-1, 4] }'
    settings = json.dumps({"inputs": [X]})
    others = [
        write(bench, "pbtxt", **{"config.pbtxt": pbtxt}),
        write(bench, "settings", **{"model-settings.json": settings}),
        write(
            bench, "named", **{"model-config.yaml": "oip: {signature: t.pbtxt}", "t.pbtxt": pbtxt}
        ),
    ]
    for name in (url, *others):
        await register(bench, name)
        assert bench.described(name)["tensors"]["inputs"] == [X], name


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        (
            "model-config.yaml",
            "oip: {inputs: [{name: x, datatype: float, shape: [1]}]}",
            "The declaration of the model's tensors in model-config.yaml, oip is wrong: inputs[0] (x) has the",
        ),
        ("model-config.yaml", "oip: [1]", "oip is wrong: it must be a mapping with inputs,"),
        (
            "model-config.yaml",
            "oip: {signature: no.onnx}",
            "the archive has no file no.onnx, which",
        ),
        (
            "model-config.yaml",
            "oip: {signature: ../x}",
            "must be the name of a file of the archive",
        ),
        (
            "model-config.yaml",
            "oip: {signature: service.py}",
            "service.py is none of a file *.onnx",
        ),
        ("config.pbtxt", "input {", "config.pbtxt is wrong: line 1: expected a field's name or }"),
        ("model-settings.json", "[]", "settings.json is wrong: it must be a JSON object, not []"),
    ],
)
async def test_a_wrong_declaration_fails_the_registration_with_its_place(
    bench: Any, file: str, text: str, message: str
) -> None:
    url = write(bench, **{file: text})
    with pytest.raises(InvalidModel) as caught:
        await register(bench, url)
    assert message in str(caught.value)
    assert not bench.host.registry.has_name("m")


async def test_a_folder_of_tritons_repository_needs_no_manifest(bench: Any) -> None:
    folder = bench.store / "adder"
    (folder / "1").mkdir(parents=True)
    (folder / "1" / "model.py").write_text(
        "class TritonPythonModel:\n    def execute(self, r): ...\n"
    )
    (folder / "config.pbtxt").write_text('max_batch_size: 4 dynamic_batching { } backend: "python"')
    served = await register(bench, "adder")
    described = bench.described("adder")
    assert (served.interface, served.version, described["batchSize"]) == ("oip", "1", 4)
    assert described["handler"] == "1/model.py:TritonPythonModel"
    known = idle_part(served)
    assert known is not None and known["interface"] == "oip"
    (folder / "config.pbtxt").write_text("sequence_batching { }")
    with pytest.raises(InvalidModel, match="config.pbtxt: sequence_batching is not supported"):
        await bench.host.register(RegisterOptions("adder", model_name="again"))


async def test_a_model_that_takes_several_rows_gets_requests_in_batches(bench: Any) -> None:
    code = "class Model:\n    def predict(self, inputs, parameters): ...\n"
    text = json.dumps({"oip": DECLARED | {"max_batch_size": 16}})
    for name, asked in (("joined", {}), ("alone", {"batch_size": 2})):
        url = bench.write(name, code)
        (bench.store / url / "model-config.yaml").write_text(text)
        await register(bench, url, handler="service:Model", **asked)
    assert bench.described("joined")["batchSize"] == 16
    assert bench.described("alone")["batchSize"] == 2


async def test_a_model_that_nobody_has_asked_for_since_the_start_still_shows_its_tensors(
    bench: Any,
) -> None:
    url = write(bench, **{"model-config.yaml": json.dumps({"oip": DECLARED})})
    served = await register(bench, url)
    known = json.loads(json.dumps(idle_part(served)))
    entry = {"version": None, "min_workers": 0, "max_workers": 1, "idle": known}
    models = IdleModels(bench.settings)
    first, second = (
        models.of_entry({"model": name, **entry}, RegisterOptions(name), None)  # type: ignore[arg-type]  # never made
        for name in ("a", "b")
    )
    assert first is not None and second is not None
    assert first.describe(True)["tensors"] == DECLARED
    assert first.declaration is second.declaration


async def test_metadata_of_such_a_model_do_not_make_it(bench: Any) -> None:
    async def make(model: Any) -> Any:
        raise AssertionError("nobody has asked it for more than it has told")

    url = write(bench, **{"model-config.yaml": json.dumps({"oip": DECLARED})})
    served = await register(bench, url)
    known = json.loads(json.dumps(idle_part(served)))
    entry = {"model": "idle", "version": None, "min_workers": 0, "max_workers": 1, "idle": known}
    dormant = IdleModels(bench.settings).of_entry(entry, RegisterOptions(url), make)
    assert dormant is not None
    bench.host.registry.add(dormant)
    told = await model_metadata(bench.host, "idle", None)
    assert told == await model_metadata(bench.host, "m", None) | {"name": "idle"}
    assert told["inputs"]
