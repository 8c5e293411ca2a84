"""What archives and registrations say of components, and what workers are given of it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from support.settings import settings_of

from archiver import Manifest
from mms.errors import BadRequest, Conflict, InvalidModel, ModelNotFound, WorkerStartFailed
from mms.interfaces.seldon.front.load_part import component_load
from mms.interfaces.seldon.load import ComponentLoad
from mms.prepackaged import PREPACKAGED
from mms.serving import RegisterOptions
from mms.serving.registration.model_options import ModelOptions, model_options

FIVE = {"name": "n", "value": "5", "type": "INT"}
SIX = {"name": "n", "value": "6", "type": "INT"}
OTHER = {"name": "other", "value": "x", "type": "STRING"}


def manifest(**extensions: Any) -> Manifest:
    return Manifest.create(model_name="m", handler="Model", extensions=extensions)


def found(registration: dict[str, Any], **extensions: Any) -> ModelOptions:
    return model_options(
        RegisterOptions.of_members({"url": "m.mar", **registration}), manifest(**extensions)
    )


def loaded(registration: dict[str, Any], environ: Any = None, **settings: Any) -> ComponentLoad:
    served: Any = SimpleNamespace(options=found(registration))
    return component_load(served, settings_of(**settings), environ or {})


def test_what_nobody_names_is_left_to_the_worker() -> None:
    assert found({}).interface == "auto"
    assert loaded({}) == ComponentLoad()


def test_what_registration_settings_and_environment_say_of_a_component_reaches_its_worker() -> None:
    assert loaded(
        {"row_batching": True, "validate_inputs": False, "persistence_file": "/kept"},
        {"PREDICTIVE_UNIT_ID": "u", "PREDICTIVE_UNIT_IMAGE": "i:1"},
        seldon_strict=True,
        validate_inputs=True,
    ) == ComponentLoad(True, True, False, "u", "i:1", "/kept")
    assert loaded({}, validate_inputs=True) == ComponentLoad(validates_inputs=True)


def test_the_registration_replaces_what_the_archive_says_and_parameters_by_name() -> None:
    options = found(
        {"service_type": "MODEL", "parameters": [SIX], "row_batching": True},
        interface="seldon",
        service_type="ROUTER",
        parameters=[FIVE, OTHER],
        model_uri="s3://b/k",
    )
    assert options.asked.seldon.service_type == "MODEL"
    assert options.component.parameters == (OTHER, SIX)
    assert options.component.model_uri == "s3://b/k"
    assert options.asked.value_of("row_batching")


def test_a_handler_of_mms_is_no_component() -> None:
    options = found({"interface": "mms"}, interface="seldon", prepackaged="sklearn")
    assert options.interface == "mms"
    assert options.asked.describe() == {}


def test_a_prepackaged_server_has_the_interface_and_handler_of_its_own() -> None:
    options = found({"prepackaged": "sklearn"})
    assert options.interface == "seldon"
    assert options.handler == PREPACKAGED["sklearn"]


def test_a_handler_of_the_registration_takes_the_place_of_the_archives_server() -> None:
    options = found({"handler": "Mine"}, interface="seldon", prepackaged="sklearn")
    assert options.handler is None
    assert options.interface == "seldon"


@pytest.mark.parametrize(
    ("registration", "message"),
    [
        (
            {"parameters": [{"name": "n", "value": "x", "type": "INT"}]},
            "the value 'x' is not a valid INT",
        ),
        ({"parameters": {"n": 5}}, "must be a list"),
        ({"service_type": "CLASSIFIER"}, "'CLASSIFIER' is not one of MODEL"),
        ({"prepackaged": "caffe"}, "'caffe' is not one of sklearn"),
        ({"model_uri": "ftp://host/x"}, "the scheme ftp"),
        ({"prepackaged": "sklearn", "handler": "Model"}, "cannot be used together"),
        ({"prepackaged": "sklearn", "interface": "mms"}, "has the interface seldon"),
    ],
)
def test_a_registration_that_cannot_be_is_refused(
    registration: dict[str, Any], message: str
) -> None:
    with pytest.raises(BadRequest, match=message):
        found(registration)


def test_wrong_extensions_of_an_archive_are_the_archives_fault() -> None:
    with pytest.raises(InvalidModel, match=r"parameter n has the type 'LIST'"):
        found({}, interface="seldon", parameters=[{"name": "n", "value": "1", "type": "LIST"}])


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("s3://bucket/models/iris/", "iris"),
        ("https://host/iris.tar.gz?signature=x", "iris"),
        ("models:/iris/3", "iris"),
        ("models:/iris@champion", "iris"),
        ("/mnt/models", "models"),
    ],
)
def test_a_model_without_an_archive_is_named_for_its_uri(uri: str, name: str) -> None:
    asked = RegisterOptions.of_members({"prepackaged": "sklearn", "model_uri": uri})
    options = model_options(asked, Manifest({}))
    assert options.default_name == name


SEEN = """
def handle(data, context):
    return data and ['OK'] * len(data)
"""


async def test_describe_shows_interface_service_type_parameters_and_uri(bench) -> None:
    weights = bench.folder / "weights"
    weights.mkdir()
    await bench.register(
        "m",
        SEEN,
        initial_workers=0,
        interface="seldon",
        service_type="ROUTER",
        parameters=[FIVE],
        model_uri=str(weights),
    )
    described = bench.described("m")
    assert described["interface"] == "seldon"
    assert described["serviceType"] == "ROUTER"
    assert described["parameters"] == [FIVE]
    assert described["modelUri"] == str(weights)


async def test_the_interface_that_a_worker_finds_shows_in_describe(bench) -> None:
    await bench.register("m", SEEN)
    assert bench.described("m")["interface"] == "mms"


async def test_who_registers_a_component_is_told_why_it_did_not_load(bench) -> None:
    code = (
        "class Model:\n"
        "    def load(self):\n"
        "        raise RuntimeError('no weights')\n"
        "    def predict(self, X, names): ...\n"
    )
    with pytest.raises(WorkerStartFailed, match=r"^Failed to start workers: .*no weights"):
        await bench.register("m", code, interface="seldon", handler="service.Model")


async def test_a_model_uri_that_is_not_there_leaves_nothing_registered(bench) -> None:
    with pytest.raises(ModelNotFound, match="there is no /absent"):
        await bench.register("m", SEEN, model_uri="/absent")
    with pytest.raises(ModelNotFound):
        bench.described("m")


async def test_a_name_that_is_taken_is_told_before_anything_is_fetched(bench) -> None:
    await bench.register("m", SEEN, initial_workers=0)
    with pytest.raises(Conflict):
        await bench.host.register(RegisterOptions("m", model_uri="http://127.0.0.1:9/x"))


async def test_a_registration_without_an_archive_needs_none(bench) -> None:
    weights = bench.folder / "iris"
    weights.mkdir()
    options = RegisterOptions.of_members(
        {"prepackaged": "sklearn", "model_uri": str(weights), "initial_workers": 0}
    )
    await bench.host.register(options)
    described = bench.described("iris")
    assert described["handler"] == PREPACKAGED["sklearn"]
    assert described["modelUrl"] == str(weights)
    folder = bench.host.registry.get("iris").archive.folder
    assert list(folder.iterdir()) == []
    await bench.host.unregister("iris")
    assert not folder.exists()


def test_the_archiver_knows_the_servers_that_there_are() -> None:
    from archiver.component import PREPACKAGED as known

    assert set(known) == {name for name in PREPACKAGED if name.islower()}
