"""How a Seldon component is found, made and loaded, by real workers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mms.wire import Loaded

from .front import Front, Worker

COMPONENT = """
class {name}:
    def __init__(self, **parameters):
        self.parameters = parameters
    def predict(self, X, names):
        return dict(self.parameters)
"""
MESSAGE = json.dumps({"strData": "x"}).encode()

Load = Callable[..., tuple[Worker, Loaded]]


@pytest.fixture
def load(front: Front, tmp_path: Path) -> Load:
    def load(
        files: dict[str, str] | str,
        handler: str = "Model",
        variables: Any = None,
        is_forked: bool = True,
        **members: Any,
    ) -> tuple[Worker, Loaded]:
        if isinstance(files, str):
            files = {"Model.py": files}
        for name, content in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(content)
        worker = (front.start_forked if is_forked else front.start)(**(variables or {}))
        defaults: dict[str, Any] = {"model_name": "m", "model_version": None, "handler": handler}
        return worker, worker.load(**{**defaults, "model_dir": str(tmp_path), **members})

    return load


def predict(worker: Worker) -> Any:
    answer = worker.predict(MESSAGE, b"application/json")
    assert answer.status == 200, answer
    return json.loads(answer.body)


@pytest.mark.parametrize(
    ("handler", "file", "name"),
    [
        ("Model", "Model.py", "Model"),
        ("pkg.sub.Class", "pkg/sub.py", "Class"),
        ("module:Class", "module.py", "Class"),
        ("pkg.sub:Class", "pkg/sub.py", "Class"),
        ("path/file.py:Class", "path/file.py", "Class"),
        ("path/Model.py", "path/Model.py", "Model"),
        ("Model.py", "Model.py", "Model"),
    ],
)
@pytest.mark.parametrize("interface", ["auto", "seldon"])
def test_a_component_is_named_by_module_and_class(
    load: Load, handler: str, file: str, name: str, interface: str
) -> None:
    worker, loaded = load({file: COMPONENT.format(name=name)}, handler, interface=interface)
    assert (loaded.code, loaded.interface) == (200, "seldon"), loaded
    assert predict(worker) == {"jsonData": {}, "meta": {}}


FUNCTION = "def handle(data, context):\n    return ['mms']\n"
PREDICT = "    def predict(self, X, names): return X\n"
HANDLE = "    def handle(self, data, context): return ['mms']\n"
MAIN = "def main(data, context): return Service().handle(data, context)\n"
HANDLER_OF_MMS = {
    "a function": ("service:handle", FUNCTION),
    "a function without a name": ("service", FUNCTION),
    "a function that uses a class with predict": (
        "service:main",
        f"class Service:\n{PREDICT}{HANDLE}{MAIN}",
    ),
    "a function beside a class with predict": ("Model", f"class Model:\n{PREDICT}{FUNCTION}"),
    "a class with handle": ("service", f"class Model:\n{PREDICT}{HANDLE}"),
    "a class with handle of the module's name": ("Model", f"class Model:\n{PREDICT}{HANDLE}"),
    "a module in a package": ("pkg.service", FUNCTION),
}


@pytest.mark.parametrize("case", HANDLER_OF_MMS)
def test_a_handler_of_mms_is_never_taken_for_a_component(load: Load, case: str) -> None:
    handler, source = HANDLER_OF_MMS[case]
    file = handler.partition(":")[0].replace(".", "/") + ".py"
    worker, loaded = load({file: source}, handler)
    assert (loaded.code, loaded.interface) == (200, "mms"), loaded
    assert worker.predict(b"x").body == b"mms"


def test_a_class_with_handle_is_no_component_even_where_it_is_named(load: Load) -> None:
    _, loaded = load({"service.py": f"class Service:\n{PREDICT}{HANDLE}"}, "service:Service")
    assert loaded.interface == "mms"


@pytest.mark.parametrize("hook", ["predict_raw", "aggregate", "route_rest", "send_feedback"])
def test_one_hook_makes_a_class_a_component(load: Load, hook: str) -> None:
    _, loaded = load(f"class Model:\n    def {hook}(self, *arguments): pass\n")
    assert (loaded.code, loaded.interface) == (200, "seldon")


def test_the_base_class_makes_a_class_a_component(load: Load) -> None:
    source = (
        "from seldon_core.user_model import SeldonComponent\nclass Model(SeldonComponent): pass\n"
    )
    _, loaded = load(source)
    assert (loaded.code, loaded.interface) == (200, "seldon")


@pytest.mark.parametrize(
    ("files", "handler", "words"),
    [
        ({"Other.py": ""}, "Model", ["there is no module Model in", "module:Class"]),
        ({"Model.py": ""}, "pkg.sub.Class", ["there is no module pkg in"]),
        (
            {"Model.py": "class Other: pass\n"},
            "Model",
            ["module Model has no class Model", "classes there: Other"],
        ),
        ({"Model.py": "Model = 5\n"}, "Model", ["Model is not a class, but int"]),
        ({"Model.py": "import not_there\n"}, "Model", ["No module named 'not_there'"]),
        (
            {"Model.py": "class Model:\n    def __init__(self, size): pass\n"},
            "Model",
            ["Model(size) cannot be made from the parameters given (none)", "'size'"],
        ),
        (
            {"Model.py": COMPONENT.format(name="Model") + "    def load(self): self.gone\n"},
            "Model",
            ["AttributeError: 'Model' object has no attribute 'gone'"],
        ),
        (
            {"Model.py": "class Model:\n    def init_metadata(self): raise OSError('no file')\n"},
            "Model",
            ["OSError: no file"],
        ),
        (
            {"Model.py": "class Model:\n    model_error_handler = 5\n"},
            "Model",
            ["AttributeError"],
        ),
    ],
)
def test_what_cannot_be_loaded_is_named(
    load: Load, files: dict[str, str], handler: str, words: list[str]
) -> None:
    _, loaded = load(files, handler, interface="seldon")
    assert loaded.code == 500
    for word in words:
        assert word in loaded.error


def test_parameters_are_typed_arguments_of_the_constructor(load: Load) -> None:
    parameters = [
        {"name": "count", "value": "5", "type": "INT"},
        {"name": "rate", "value": "0.5", "type": "DOUBLE"},
        {"name": "is_on", "value": "True", "type": "BOOL"},
        {"name": "word", "value": 5, "type": "STRING"},
    ]
    environment = [{"name": "ignored", "value": "1", "type": "INT"}]
    worker, _ = load(
        COMPONENT.format(name="Model"),
        variables={"PREDICTIVE_UNIT_PARAMETERS": json.dumps(environment)},
        parameters=parameters,
    )
    expected = {"count": 5, "rate": 0.5, "is_on": True, "word": "5"}
    assert predict(worker)["jsonData"] == expected


def test_parameters_come_from_the_environment_where_no_option_gives_them(load: Load) -> None:
    parameters = [{"name": "model_uri", "value": "/mnt/models", "type": "STRING"}]
    worker, _ = load(
        COMPONENT.format(name="Model"),
        variables={"PREDICTIVE_UNIT_PARAMETERS": json.dumps(parameters)},
    )
    assert predict(worker)["jsonData"] == {"model_uri": "/mnt/models"}


def test_a_parameter_that_is_no_number_is_an_error_of_the_load(load: Load) -> None:
    parameters = [{"name": "n", "value": "abc", "type": "FLOAT"}]
    _, loaded = load(COMPONENT.format(name="Model"), parameters=parameters)
    assert loaded.code == 500
    assert "Bad model parameter: n with value abc can't be parsed as a FLOAT" in loaded.error


@pytest.mark.parametrize(
    ("signature", "model_uri", "expected"),
    [
        ("self, model_uri", None, {"model_uri": None}),
        ("self, model_uri='own'", None, {"model_uri": "own"}),
        ("self, model_uri='own'", "/files", {"model_uri": "/files"}),
        ("self", None, {}),
    ],
)
def test_a_missing_model_uri_is_none_where_the_constructor_needs_one(
    load: Load, signature: str, model_uri: str | None, expected: dict[str, Any]
) -> None:
    source = (
        f"class Model:\n    def __init__({signature}):\n"
        "        self.own = {n: v for n, v in locals().items() if n != 'self'}\n"
        "    def predict(self, X, names): return self.own\n"
    )
    worker, loaded = load(source, model_files=model_uri)
    assert loaded.code == 200, loaded
    assert predict(worker)["jsonData"] == expected


def test_a_model_uri_that_the_constructor_does_not_take_is_an_error_of_the_load(load: Load) -> None:
    source = "class Model:\n    def predict(self, X, names): return X\n"
    _, loaded = load(source, model_files="/files")
    assert loaded.code == 500
    assert "cannot be made from the parameters given (model_uri)" in loaded.error


@pytest.mark.parametrize(
    "error", ["NotImplementedError", "user_model.SeldonNotImplementedError('load')"]
)
def test_a_load_that_is_not_implemented_is_none(load: Load, error: str) -> None:
    source = (
        "from seldon_core import user_model\n" + COMPONENT.format(name="Model")
    ) + f"    def load(self): raise {error}\n"
    _, loaded = load(source)
    assert loaded.code == 200, loaded


def test_metadata_is_asked_for_before_load_and_hooks_are_looked_up_after_it(load: Load) -> None:
    source = """
class Model:
    def __init__(self):
        self.steps = ["init"]
    def init_metadata(self):
        self.steps.append("init_metadata")
        return {"name": "mine"}
    def load(self):
        self.steps.append("load")
        self.predict = lambda X, names: self.steps
"""
    worker, loaded = load(source, interface="seldon")
    assert loaded.code == 200, loaded
    assert predict(worker)["data"]["ndarray"] == ["init", "init_metadata", "load"]


def test_the_worker_has_the_names_of_seldon_core_if_nothing_else_has(load: Load) -> None:
    source = """
import seldon_core
from seldon_core.proto import prediction_pb2
class Model:
    def predict(self, X, names): return str(seldon_core.__file__)
"""
    worker, loaded = load(source)
    assert loaded.code == 200, loaded
    assert "packages" in predict(worker)["strData"]


STAND_IN = {
    "seldon_core/__init__.py": "NAME = 'installed'\n",
    "Model.py": "import seldon_core\nclass Model:\n    def predict(self, X, names):\n"
    "        return getattr(seldon_core, 'NAME', 'shim')\n",
}


@pytest.mark.parametrize(
    ("choice", "expected"), [("auto", "installed"), ("real", "installed"), ("shim", "shim")]
)
def test_an_installed_seldon_core_comes_first_unless_the_shim_is_asked_for(
    load: Load, choice: str, expected: str
) -> None:
    worker, loaded = load(STAND_IN, package_choices={"seldon_shim": choice})
    assert loaded.code == 200, loaded
    assert predict(worker)["strData"] == expected


def test_without_the_shim_a_missing_seldon_core_is_named_with_the_setting(load: Load) -> None:
    source = (
        "from seldon_core.user_model import SeldonComponent\nclass Model(SeldonComponent): pass\n"
    )
    _, loaded = load(source, interface="seldon", package_choices={"seldon_shim": "real"})
    assert loaded.code == 500
    assert "seldon-core is not installed; with seldon_shim=auto or shim" in loaded.error


def test_a_handler_of_mms_finds_no_seldon_core(load: Load) -> None:
    source = (
        "import importlib.util\ndef handle(data, context):\n"
        "    return [str(importlib.util.find_spec('seldon_core'))]\n"
    )
    worker, _ = load({"service.py": source}, "service:handle")
    assert worker.predict(b"x").body == b"None"


def test_the_custom_service_runs_in_a_thread_beside_the_predictions(load: Load) -> None:
    source = """
import threading
class Model:
    def __init__(self):
        self.called = threading.Event()
    def custom_service(self):
        self.thread = threading.current_thread()
        self.called.set()
        threading.Event().wait()
    def predict(self, X, names):
        assert self.called.wait(20)
        return [self.thread.name, str(self.thread.daemon), str(self.thread.is_alive())]
"""
    worker, _ = load(source)
    assert predict(worker)["data"]["ndarray"] == ["custom-service", "True", "True"]
    worker.drain()


def test_a_component_is_kept_before_the_worker_says_goodbye(load: Load, tmp_path: Path) -> None:
    source = """
class Model:
    def __init__(self):
        self.count = 0
    def predict(self, X, names):
        self.count += 1
        return str(self.count)
"""
    file = tmp_path / "state" / "m.pickle"
    parts = {"seldon": {"persistence_file": str(file)}}
    worker, _ = load(source, of_interfaces=parts)
    assert predict(worker)["strData"] == "1"
    worker.drain()
    assert file.is_file()
    worker, loaded = load(source, of_interfaces=parts)
    assert loaded.code == 200, loaded
    assert predict(worker)["strData"] == "2"


def test_a_component_can_be_preloaded_and_its_thread_starts_in_each_worker(
    front: Front, tmp_path: Path
) -> None:
    source = """
import os, threading
class Model:
    def __init__(self):
        self.loaded_in = os.getpid()
        self.called = threading.Event()
    def custom_service(self):
        self.called.set()
    def predict(self, X, names):
        assert self.called.wait(20)
        return [str(os.getpid() == self.loaded_in)]
"""
    (tmp_path / "Model.py").write_text(source)
    parent = front.start_parent()
    loaded = parent.load(
        model_name="m", model_version=None, model_dir=str(tmp_path), handler="Model"
    )
    assert (loaded.code, loaded.interface) == (200, "seldon"), loaded
    for secret in ("one", "two"):
        assert predict(front.fork(parent, secret))["data"]["ndarray"] == ["False"]


def test_an_mms_handler_s_worker_loads_no_numbers_for_the_sake_of_seldon(load: Load) -> None:
    source = (
        "import sys\ndef handle(data, context):\n"
        "    return [str([m for m in ('numpy', 'orjson', 'mms.seldon') if m in sys.modules])]\n"
    )
    worker, _ = load({"service.py": source}, "service:handle", is_forked=False)
    assert worker.predict(b"x").body == b"[]"
