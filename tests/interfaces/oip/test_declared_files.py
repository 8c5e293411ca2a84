"""What files of other servers and libraries declare of a model's tensors."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from archiver.layouts import InvalidLayout, find_layout
from mms.bodies.protobuf_wire import field, varint
from mms.interfaces.oip.declared.mlflow_signature import read_mlmodel
from mms.interfaces.oip.declared.model_settings import read_settings
from mms.interfaces.oip.declared.onnx_signature import read_onnx
from mms.interfaces.oip.declared.triton_config import read_config
from mms.tensors.declaration import InvalidDeclaration, ModelDeclaration

CONFIG = """
name: "add"
backend: "python"
max_batch_size: 8
input [ { name: "a" data_type: TYPE_FP32 dims: [ 4 ] }, { name: "b" data_type: TYPE_STRING dims: -1 optional: true } ]
output { name: "sum" data_type: TYPE_INT64 dims: [ 1 ] }
dynamic_batching { max_queue_delay_microseconds: 1500 }
instance_group { count: 2 kind: KIND_CPU }
parameters { key: "mode" value { string_value: "fast" } }
optimization { }
maxbatch: 3
"""


def shown(declaration: ModelDeclaration | None) -> list[str]:
    assert declaration is not None
    return [str(tensor) for tensor in (*declaration.inputs, *declaration.outputs)]


# Triton


def test_a_config_of_triton_declares_tensors_with_the_dimension_of_the_batch() -> None:
    config = read_config(CONFIG.encode())
    assert shown(config.declaration) == [
        "a (FP32 [-1, 4])",
        "b (BYTES [-1, -1])",
        "sum (INT64 [-1, 1])",
    ]
    assert [tensor.is_optional for tensor in config.declaration.inputs] == [False, True]
    assert config.declaration.max_batch_size == 8
    alone = read_config(CONFIG.replace("max_batch_size: 8", "").encode())
    assert shown(alone.declaration) == ["a (FP32 [4])", "b (BYTES [-1])", "sum (INT64 [1])"]


def test_a_config_of_triton_says_how_the_model_runs_and_what_has_no_effect() -> None:
    config = read_config(CONFIG.encode())
    assert config.config == {
        "batchSize": 8,
        "maxBatchDelay": 2,
        "minWorkers": 2,
        "deviceType": "cpu",
    }
    assert config.problems == (
        "optimization has no effect here.",
        "unknown field 'maxbatch' has no effect; did you mean max_batch_size?",
    )


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("max_batch_size: 2 dynamic_batching { }", []),
        ("dynamic_batching { }", ["dynamic_batching has no effect without a max_batch_size of"]),
        (
            "max_batch_size: 4 dynamic_batching {preferred_batch_size: 2 priority_levels: 2 default_queue_policy {} }",
            [
                "dynamic_batching.preferred_batch_size has no effect here.",
                "dynamic_batching.priority_levels has no effect here.",
                "dynamic_batching.default_queue_policy has no effect here.",
            ],
        ),
        (
            'instance_group { profile: "a" passive: true }, instance_group { passive: true }',
            [
                "instance_group.profile has no effect here.",
                "instance_group.passive has no effect here.",
            ],
        ),
        ("instance_group { kind: KIND_MODEL }", ["the kind 'KIND_MODEL' of instance_group has no"]),
        (
            "instance_group { kind: KIND_CPU }, instance_group { gpus: 0 }",
            ["KIND_CPU has no effect here beside KIND_AUTO.", "gpus of instance_group has no"],
        ),
    ],
)
def test_settings_of_triton_within_others_without_effect_are_named(
    text: str, problems: list[str]
) -> None:
    found = read_config(text.encode()).problems
    assert len(found) == len(problems)
    for problem, start in zip(found, problems, strict=True):
        assert problem.startswith(start)


def test_groups_of_triton_say_the_gpus_of_the_workers() -> None:
    groups = "instance_group [ { count: 2 kind: KIND_GPU gpus: [1, 0] }, { gpus: 1 } ]"
    config = read_config(groups.encode())
    assert config.config == {"minWorkers": 3, "deviceIds": [1, 0]}
    assert config.problems == ()


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ("", {"latest": {"num_versions": 1}}),
        ("version_policy { latest { num_versions: 3 } }", {"latest": {"num_versions": 3}}),
        ("version_policy: { all: { } }", {"all": {}}),
        ("version_policy { specific { versions: 2 } }", {"specific": {"versions": [2]}}),
        (
            "version_policy { specific { versions: 1 versions: [2, 3] } }",
            {"specific": {"versions": [1, 2, 3]}},
        ),
    ],
)
def test_a_version_policy_of_triton_is_read_in_every_form(
    text: str, policy: dict[str, Any]
) -> None:
    assert read_config(text.encode()).document["version_policy"] == policy


def test_code_for_triton_reads_the_whole_config_with_its_defaults() -> None:
    document = read_config(CONFIG.encode()).document
    assert document["parameters"] == {"mode": {"string_value": "fast"}}
    assert document["input"][0]["dims"] == [4]
    assert document["input"][1]["optional"] is True
    assert document["dynamic_batching"]["max_queue_delay_microseconds"] == 1500
    assert document["dynamic_batching"]["preserve_ordering"] is False
    assert document["instance_group"][0]["count"] == 2
    assert document["version_policy"] == {"latest": {"num_versions": 1}}
    assert json.loads(json.dumps(document)) == document


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("input { name: 3 }", "name must be a text, not 3"),
        ("input { dims: 3 }", "input[0] has no name"),
        (
            'input { name: "a" data_type: FP32 dims: 3 }',
            "input[0] (a) has the data_type 'FP32'; one such",
        ),
        ('input { name: "a" data_type: TYPE_FP32 dims: 1.5 }', "input[0] (a) has the dimension"),
        ('input { name: "a" data_type: TYPE_FP32 reshape { shape: [] } }', "has reshape, which is"),
        ("input: 1", "input must be a message in braces, not 1"),
        ("max_batch_size: -1", "max_batch_size must be a whole number from 0 on, not -1"),
        ("input", "line 1: expected a colon"),
        ("version_policy: 1", "version_policy must be a message in braces, not 1"),
        ("version_policy { specific: 1 }", "specific must be a message in braces, not 1"),
        ("version_policy { specific { } }", "version_policy.specific.versions must be whole"),
        ("version_policy { specific { versions: a } }", "version_policy.specific.versions must be"),
        (
            "version_policy { newest { } }",
            "must have one of latest, all and specific, not 'newest'",
        ),
        ("version_policy { all { } latest { } }", "must have one of latest, all and specific, not"),
        ("instance_group { gpus: -1 }", "gpus must be whole numbers from 0 on, not -1"),
    ],
)
def test_a_wrong_config_of_triton_is_refused_with_the_place(text: str, message: str) -> None:
    with pytest.raises(InvalidDeclaration) as caught:
        read_config(text.encode())
    assert message in str(caught.value)


def test_a_folder_of_tritons_repository_is_served_by_its_highest_version(tmp_path: Path) -> None:
    (tmp_path / "config.pbtxt").write_text(CONFIG)
    assert find_layout(tmp_path) is None
    for version in ("1", "2", "10", "latest"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "model.py").touch()
    layout = find_layout(tmp_path)
    assert layout is not None
    assert layout.handler == "10/model.py:TritonPythonModel"
    assert (layout.model_name, layout.model_version) == ("add", "10")
    assert layout.problems[-1] == "of the versions [1, 2, 10], 10 alone is served."
    text = (
        CONFIG + 'version_policy { specific { versions: [1, 2] } } default_model_filename: "m.py"'
    )
    (tmp_path / "config.pbtxt").write_text(text)
    (tmp_path / "2" / "m.py").touch()
    layout = find_layout(tmp_path)
    assert layout is not None and layout.handler == "2/m.py:TritonPythonModel"
    (tmp_path / "config.pbtxt").write_text('backend: "onnxruntime"')
    assert find_layout(tmp_path) is None
    (tmp_path / "config.pbtxt").write_text("ensemble_scheduling { }")
    with pytest.raises(InvalidLayout, match="ensemble_scheduling is not supported: a model of mod"):
        find_layout(tmp_path)
    (tmp_path / "config.pbtxt").write_text("name:")
    with pytest.raises(InvalidLayout, match="config.pbtxt: line 1: expected a value"):
        find_layout(tmp_path)


# MLServer

SETTINGS: dict[str, Any] = {
    "name": "iris",
    "implementation": "models.iris.Classifier",
    "inputs": [
        {"name": "x", "datatype": "FP64", "shape": [-1, 4], "parameters": {"content_type": "np"}}
    ],
    "outputs": [],
    "parameters": {"version": "v2", "uri": "./model.bin"},
    "max_batch_size": 16,
    "max_batch_time": 0.02,
}


def test_the_settings_of_mlserver_declare_tensors_and_the_class(tmp_path: Path) -> None:
    settings = read_settings(json.dumps(SETTINGS).encode())
    assert shown(settings.declaration) == ["x (FP64 [-1, 4])"]
    (tmp_path / "model-settings.json").write_text(json.dumps(SETTINGS))
    layout = find_layout(tmp_path)
    assert layout is not None
    assert layout.handler == "models.iris:Classifier"
    assert (layout.model_name, layout.model_version) == ("iris", "v2")
    assert layout.config == {"batchSize": 16, "maxBatchDelay": 20}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": 3}, "name must be a text, not 3"),
        ({"max_batch_size": "8"}, "max_batch_size must be a whole number, not '8'"),
        (
            {"max_batch_time": float("inf")},
            "max_batch_time must be from 0 to 86400 seconds, not inf",
        ),
        (
            {"max_batch_time": float("nan")},
            "max_batch_time must be from 0 to 86400 seconds, not nan",
        ),
        ({"inputs": {"x": 1}}, "inputs must be a list"),
        ({"inputs": [{"name": "x"}]}, "inputs[0] (x) has the datatype None, which is not one of"),
    ],
)
def test_wrong_settings_of_mlserver_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidDeclaration) as caught:
        read_settings(json.dumps(SETTINGS | changes).encode())
    assert message in str(caught.value)


# ONNX


def value_info(name: bytes, elem_type: int, *dimensions: int | bytes) -> bytes:
    dims = [
        field(0x0A, field(0x12, d) if isinstance(d, bytes) else b"\x08" + varint(d))
        for d in dimensions
    ]
    tensor = b"\x08" + varint(elem_type) + field(0x12, *dims)
    return field(0x0A, name) + field(0x12, field(0x0A, tensor))


def onnx_file(tmp_path: Path, *parts: bytes) -> Path:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"\x08\x08" + field(0x3A, *parts))
    return path


def test_an_onnx_file_declares_its_inputs_without_its_weights(tmp_path: Path) -> None:
    weights = field(0x2A, field(0x4A, bytes(100_000)) + field(0x42, b"w"))
    path = onnx_file(
        tmp_path,
        field(0x0A, b"a node"),
        weights,
        field(0x5A, value_info(b"x", 1, b"batch", 4)),
        field(0x5A, value_info(b"w", 1, 4)),
        field(0x62, value_info(b"label", 7, b"batch")),
        field(0x62, value_info(b"text", 8)),
    )
    assert shown(read_onnx(path)) == ["x (FP32 [-1, 4])", "label (INT64 [-1])", "text (BYTES [])"]


def test_outputs_of_an_onnx_file_that_are_no_tensors_declare_nothing(tmp_path: Path) -> None:
    sequence = field(0x0A, b"probabilities") + field(0x12, field(0x22, b""))
    path = onnx_file(
        tmp_path,
        field(0x5A, value_info(b"x", 1, 4)),
        field(0x62, value_info(b"label", 7, 1)),
        field(0x62, sequence),
    )
    assert shown(read_onnx(path)) == ["x (FP32 [4])"]


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x3a\xff\xff\x03", b"\x08\x08"])
def test_a_file_that_is_no_onnx_model_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(InvalidDeclaration, match="model.onnx is"):
        read_onnx(path)


def test_an_onnx_file_that_is_cut_off_while_it_is_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = onnx_file(tmp_path, field(0x2A, bytes(100_000)), field(0x5A, value_info(b"x", 1, 4)))
    read = os.pread

    def read_and_cut(descriptor: int, size: int, at: int) -> bytes:
        found = read(descriptor, size, at)
        os.truncate(path, 50)
        return found

    monkeypatch.setattr(os, "pread", read_and_cut)
    with pytest.raises(InvalidDeclaration, match="model.onnx is no model"):
        read_onnx(path)


# MLflow


def mlmodel(inputs: list[Any], outputs: list[Any] | None = None) -> bytes:
    signature = {"inputs": json.dumps(inputs), "outputs": json.dumps(outputs or [])}
    return json.dumps({"flavors": {}, "signature": signature}).encode()


def test_a_signature_of_mlflow_with_tensors_declares_them() -> None:
    spec = {"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 4]}}
    assert shown(read_mlmodel(mlmodel([spec], [spec]))) == [
        "input-0 (FP32 [-1, 4])",
        "output_0 (FP32 [-1, 4])",
    ]


def test_a_signature_of_mlflow_with_columns_declares_an_input_for_each() -> None:
    columns = [
        {"name": "age", "type": "long"},
        {"name": "town", "type": "string", "required": False},
    ]
    declaration = read_mlmodel(mlmodel(columns, [{"type": "double"}]))
    assert shown(declaration) == ["age (INT64 [-1, 1])", "town (BYTES [-1, 1])"]
    unknown = read_mlmodel(mlmodel([{"name": "at", "type": "datetime"}]))
    assert shown(unknown) == []


def test_a_description_of_mlflow_without_a_signature_declares_nothing() -> None:
    assert read_mlmodel(b"flavors: {}") is None
    with pytest.raises(InvalidDeclaration, match="signature.inputs is not JSON"):
        read_mlmodel(b"signature: {inputs: '['}")
