from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver import InvalidManifest, Manifest, is_runtime


def parse(document: object) -> Manifest:
    return Manifest.parse(json.dumps(document))


def complete(**fields: Any) -> dict[str, Any]:
    return {"model": {"modelName": "m", "handler": "service:handle"}, **fields}


def test_every_field_of_a_1_0_manifest_is_read() -> None:
    manifest = parse(
        {
            "specificationVersion": "1.0",
            "implementationVersion": "1.0",
            "modelServerVersion": "1.0",
            "description": "what it is",
            "license": "MIT",
            "runtime": "python3",
            "engine": {"engineName": "ONNX", "engineVersion": "1.2"},
            "model": {
                "modelName": "m",
                "modelVersion": "7",
                "description": "of the model",
                "handler": "service:handle",
                "extensions": {"labels": ["a"]},
            },
            "publisher": {"author": "A", "email": "a@example.org"},
            "userData": {"k": [1, 2]},
        }
    )
    assert (manifest.model_name, manifest.model_version) == ("m", "7")
    assert (manifest.handler, manifest.runtime) == ("service:handle", "python3")
    assert (manifest.description, manifest.model_description) == ("what it is", "of the model")
    assert (manifest.engine_name, manifest.engine_version) == ("ONNX", "1.2")
    assert (manifest.author, manifest.email, manifest.license) == ("A", "a@example.org", "MIT")
    assert manifest.extensions == {"labels": ["a"]}
    assert manifest.user_data == {"k": [1, 2]}
    assert manifest.specification_version == "1.0"
    assert not manifest.is_legacy
    manifest.validate()


def test_the_fields_of_torchserve_are_read() -> None:
    manifest = parse(
        {
            "createdOn": "21/11/2026 05:40:38",
            "archiverVersion": "0.12.0",
            "runtime": "python",
            "model": {
                "modelName": "m",
                "handler": "service.py",
                "serializedFile": "model.pt",
                "modelFile": "model.py",
                "requirementsFile": "requirements.txt",
                "configFile": "model-config.yaml",
            },
        }
    )
    assert (manifest.serialized_file, manifest.model_file) == ("model.pt", "model.py")
    assert manifest.requirements_file == "requirements.txt"
    assert manifest.config_file == "model-config.yaml"
    manifest.validate()


def test_unknown_fields_are_kept_when_the_manifest_is_written() -> None:
    document = complete(custom={"a": [1.5, None]}, publisher={"author": "A", "team": "T"})
    document["model"]["color"] = "red"
    assert json.loads(parse(document).to_json()) == document


def test_a_number_for_a_text_is_taken_as_it_is_written() -> None:
    manifest = Manifest.parse('{"model": {"modelName": 7, "handler": "s", "modelVersion": 1.10}}')
    assert (manifest.model_name, manifest.model_version) == ("7", "1.10")


def test_a_manifest_may_begin_with_a_byte_order_mark() -> None:
    assert Manifest.parse(b"\xef\xbb\xbf" + json.dumps(complete()).encode()).model_name == "m"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "5",
        "not json",
        '{"model": {}} trailing',
        "{'model': {}}",
        '{"model": {"modelName": {}}}',
        '{"model": {"modelVersion": ["1"]}}',
        '{"model": {"extensions": [1]}}',
        '{"model": []}',
        '{"publisher": "me"}',
        '{"engine": 5}',
        '{"runtime": {}}',
        '{"userData": NaN}',
        '{"userData": ' + "[" * 200 + "]" * 200 + "}",
        '{"userData": ' + "[" * 200_000,
    ],
)
def test_what_is_no_manifest_gets_the_message_of_mms(text: str) -> None:
    with pytest.raises(InvalidManifest, match=r"^Failed to parse signature\.json\.$") as caught:
        Manifest.parse(text)
    assert caught.value.detail


def test_bytes_that_are_not_utf_8_get_the_message_of_mms() -> None:
    with pytest.raises(InvalidManifest, match=r"^Failed to parse signature\.json\.$"):
        Manifest.parse(b'{"model": "\xff"}')


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({}, "Model name is not defined."),
        ({"runtime": "ruby", "engine": {}, "model": {}}, "Model name is not defined."),
        ({"model": {"modelName": "", "handler": "s"}}, "Model name is not defined."),
        ({"model": {"modelName": "m"}}, "Model handler is not defined."),
        ({"model": {"modelName": "m", "handler": ""}}, "Model handler is not defined."),
        (complete(runtime="ruby", engine={}), "Runtime is not defined or invalid."),
        (complete(runtime=None), "Runtime is not defined or invalid."),
        (complete(runtime="PYTHON"), "Runtime is not defined or invalid."),
        (complete(engine={}), "engineName is required in <engine>."),
    ],
)
def test_the_first_thing_missing_is_named_as_mms_names_it(
    document: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidManifest) as caught:
        parse(document).validate()
    assert str(caught.value) == message


def test_a_model_that_is_null_is_a_missing_model() -> None:
    with pytest.raises(InvalidManifest, match=r"^Missing Model entry in manifest file\.$"):
        parse({"model": None})


def test_an_absent_runtime_is_python() -> None:
    assert parse(complete()).runtime == "python"


def test_a_runtime_is_one_of_three_words_or_an_absolute_path() -> None:
    good = ["python", "python2", "python3", "/opt/venv/bin/python"]
    bad = ["", None, "ruby", "bin/python", "Python", "python "]
    assert [is_runtime(value) for value in good] == [True] * len(good)
    assert [is_runtime(value) for value in bad] == [False] * len(bad)


def test_overrides_take_the_place_of_what_the_manifest_says() -> None:
    manifest = parse(complete()).with_overrides(
        model_name="other", handler="h:f", runtime="python3", default_handler="unused"
    )
    assert (manifest.model_name, manifest.handler, manifest.runtime) == ("other", "h:f", "python3")


def test_empty_overrides_leave_the_manifest_as_it_is() -> None:
    manifest = parse(complete())
    assert manifest.with_overrides(model_name="", handler="", default_handler="d") == manifest


def test_the_default_handler_counts_where_no_other_is_named() -> None:
    manifest = Manifest({}).with_overrides(model_name="m", default_handler="service:handle")
    assert manifest.handler == "service:handle"
    manifest.validate()


def test_a_value_taken_from_a_manifest_does_not_change_it() -> None:
    manifest = parse(complete(userData={"list": []}))
    manifest.to_dict()["model"]["modelName"] = "changed"
    manifest.user_data["list"].append(1)
    assert manifest == parse(complete(userData={"list": []}))


def test_a_new_manifest_has_the_keys_of_mms_in_its_order() -> None:
    manifest = Manifest.create(
        model_name="m",
        handler="service:handle",
        model_version="2",
        extensions={"x": 1},
        engine_name="ONNX",
        license="MIT",
        description="d",
        user_data={"u": 1},
        author="A",
        email="a@example.org",
    )
    document = json.loads(manifest.to_json())
    assert list(document) == [
        "runtime",
        "model",
        "engine",
        "license",
        "modelServerVersion",
        "description",
        "implementationVersion",
        "specificationVersion",
        "userData",
        "publisher",
    ]
    assert list(document["model"]) == ["modelName", "handler", "modelVersion", "extensions"]


def test_a_new_manifest_has_no_keys_for_what_was_not_given() -> None:
    document = json.loads(Manifest.create(model_name="m", handler="s").to_json())
    assert document == {
        "runtime": "python",
        "model": {"modelName": "m", "handler": "s"},
        "modelServerVersion": "1.0",
        "implementationVersion": "1.0",
        "specificationVersion": "1.0",
    }


LEGACY = {
    "Engine": {"MXNet": 0.12},
    "Model-Archive-Description": "what it is",
    "License": "Apache 2.0",
    "Model-Archive-Version": 0.1,
    "Model-Server": 0.1,
    "Created-By": {"Author": "A", "Author-Email": "a@example.org"},
    "Model": {
        "Model-Name": "noop_v0.1",
        "Service": "noop_service.py",
        "Description": "of the model",
        "Signature": "signature.json",
        "Parameters": "noop.params",
        "Symbol": "noop.json",
        "Model-Format": "MXNet-Symbolic",
    },
}


def test_a_legacy_manifest_is_read_under_the_names_of_1_0() -> None:
    manifest = Manifest.parse_legacy(json.dumps(LEGACY))
    assert manifest.is_legacy
    assert (manifest.model_name, manifest.handler) == ("noop_v0.1", "noop_service.py")
    assert (manifest.model_version, manifest.specification_version) == ("snapshot", "0.1")
    assert (manifest.engine_name, manifest.engine_version) == ("MXNet", "0.12")
    assert manifest.extensions == {"parametersFile": "noop.params", "symbolFile": "noop.json"}
    assert (manifest.author, manifest.email) == ("A", "a@example.org")
    assert (manifest.description, manifest.model_description) == ("what it is", "of the model")
    assert (manifest.license, manifest.runtime) == ("Apache 2.0", "python")
    manifest.validate()


@pytest.mark.parametrize("engine", [{"MXNet": "0.12"}, {"MXNet": True}, {"Other": 1}, {}, None])
def test_a_legacy_engine_counts_only_with_a_number_for_its_version(engine: object) -> None:
    manifest = Manifest.parse_legacy(json.dumps({**LEGACY, "Engine": engine}))
    assert manifest.engine_name is None
    manifest.validate()


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({}, "Missing Model entry in manifest file."),
        ({"Model": None}, "Missing Model entry in manifest file."),
        ({"Model": {"Model-Name": "m"}}, "Missing Service entry in MANIFEST.json"),
        ({"Model": {"Model-Name": "m", "Service": ""}}, "Missing Service entry in MANIFEST.json"),
        ({"Model": "m"}, "Failed to parse signature.json."),
        ({**LEGACY, "Engine": 5}, "Failed to parse signature.json."),
        ({**LEGACY, "Created-By": "me"}, "Failed to parse signature.json."),
    ],
)
def test_a_legacy_manifest_that_lacks_something_gets_the_message_of_mms(
    document: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidManifest) as caught:
        Manifest.parse_legacy(json.dumps(document))
    assert str(caught.value) == message


def test_importing_the_archiver_loads_no_third_party_package(tmp_path: Path) -> None:
    import subprocess
    import sys

    code = (
        "import sys, archiver\n"
        "heavy = {'rich', 'numpy', 'aiohttp', 'yaml', 'asyncio', 'tarfile', 'click', 'argparse'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    root = Path(__file__).parents[2]
    result = subprocess.run(
        [sys.executable, "-S", "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda nested: st.lists(nested, max_size=3) | st.dictionaries(st.text(), nested, max_size=3),
    max_leaves=8,
)
known_texts = st.none() | st.text() | st.integers() | st.booleans()
manifests = st.fixed_dictionaries(
    {},
    optional={
        "runtime": known_texts,
        "license": known_texts,
        "engine": st.none() | st.fixed_dictionaries({}, optional={"engineName": known_texts}),
        "publisher": st.none() | st.fixed_dictionaries({}, optional={"author": known_texts}),
        "userData": json_values,
        "somethingElse": json_values,
        "model": st.fixed_dictionaries(
            {},
            optional={
                "modelName": known_texts,
                "handler": known_texts,
                "modelVersion": known_texts,
                "extensions": st.none() | st.dictionaries(st.text(), json_values, max_size=3),
                "unknown": json_values,
            },
        ),
    },
)


@given(manifests)
def test_a_manifest_that_is_written_and_read_again_is_the_same(document: dict[str, Any]) -> None:
    manifest = Manifest.parse(json.dumps(document))
    assert Manifest.parse(manifest.to_json()) == manifest
    assert Manifest.parse(manifest.to_json()).to_json() == manifest.to_json()


@given(manifests)
def test_reading_keeps_every_field(document: dict[str, Any]) -> None:
    kept = Manifest.parse(json.dumps(document)).to_dict()
    assert kept.keys() == document.keys()
    assert kept.get("userData") == document.get("userData")
    assert kept.get("somethingElse") == document.get("somethingElse")
    assert kept.get("model", {}).keys() == document.get("model", {}).keys()


@given(st.binary() | st.text() | json_values.map(json.dumps))
def test_any_input_is_a_manifest_or_an_invalid_manifest(data: bytes | str) -> None:
    for read in (Manifest.parse, Manifest.parse_legacy):
        try:
            read(data).to_json()
        except InvalidManifest:
            pass


@given(manifests, known_texts.map(str), known_texts.map(str))
def test_validation_passes_or_says_one_of_four_things(
    document: dict[str, Any], name: str, handler: str
) -> None:
    manifest = Manifest.parse(json.dumps(document)).with_overrides(model_name=name, handler=handler)
    try:
        manifest.validate()
    except InvalidManifest as error:
        assert str(error) in {
            "Model name is not defined.",
            "Model handler is not defined.",
            "Runtime is not defined or invalid.",
            "engineName is required in <engine>.",
        }
    else:
        assert manifest.model_name
        assert manifest.handler
        assert is_runtime(manifest.runtime)
