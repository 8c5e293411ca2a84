"""How a model's code is found and loaded, by real workers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mms.wire import Loaded

from .conftest import ModelWriter
from .front import Front, Request, Worker

FUNCTION = """
    def {name}(data, context):
        return ["{name}"] * len(data or [1])
"""
CLASS = """
    class Own:
        def __init__(self):
            self.tries = 0
        def initialize(self, context):
            self.tries += 1
            {statement}
        def handle(self, data, context):
            return [str(self.tries)] * len(data)
"""


def load(
    front: Front, folder: str, is_forked: bool = True, **members: Any
) -> tuple[Worker, Loaded]:
    worker = front.start_forked() if is_forked else front.start()
    defaults = {
        "model_name": "m",
        "model_version": None,
        "model_dir": folder,
        "handler": "service:handle",
    }
    return worker, worker.load(**{**defaults, **members})


@pytest.mark.parametrize(
    ("handler", "body"),
    [
        ("service:handle", b"handle"),
        ("service", b"handle"),
        ("service:", b"handle"),
        ("service.py", b"handle"),
        ("service.py:handle", b"handle"),
        ("service:other", b"other"),
        ("inner.deep:handle", b"handle"),
        ("inner/deep.py:other", b"other"),
        ("inner/deep.py", b"handle"),
        ("./service.py:handle", b"handle"),
        ("with-dash:handle", b"handle"),
    ],
)
def test_a_handler_is_named_by_module_and_function(
    front: Front, write_model: ModelWriter, handler: str, body: bytes
) -> None:
    source = FUNCTION.format(name="handle") + FUNCTION.format(name="other")
    files = {"inner__deep_py": source, "inner____init___py": "", "with-dash_py": source}
    worker, loaded = load(front, write_model(source, **files), handler=handler)
    assert loaded.code == 200, loaded
    assert worker.has_imported
    assert worker.predict().body == body


@pytest.mark.parametrize("interface", ["auto", "mms"])
@pytest.mark.parametrize(
    "handler", ["sub/service.py:handle", "sub/service.py", "{outside}/service.py:handle"]
)
def test_a_handler_in_a_folder_is_imported_from_there_whatever_the_models_folder_has(
    front: Front, write_model: ModelWriter, tmp_path: Path, handler: str, interface: str
) -> None:
    source = "def handle(data, context):\n    return [{!r}]\n"
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "service.py").write_text(source.format("its own"))
    folder = write_model(source.format("root"), sub__service_py=source.format("its own"))
    worker, loaded = load(
        front, folder, handler=handler.format(outside=outside), interface=interface
    )
    assert loaded.code == 200, loaded
    assert worker.predict().body == b"its own"


SEARCHING = """
import os, sys
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
with open(os.path.join(sys.path[0], "imports.txt"), "a") as file:
    print("imported", file=file)
{code}
"""


@pytest.mark.parametrize(
    ("code", "handler"),
    [
        ("def handle(d, c):\n    return ['OK']", "sub/service.py:handle"),
        ("class Own:\n    def handle(self, d, c):\n        return ['OK']", "sub/service.py"),
        ("class Own:\n    def predict(self, X, names):\n        return X", "sub/service.py:Own"),
    ],
)
def test_a_handlers_module_is_imported_once_whatever_it_does_to_the_path(
    front: Front, write_model: ModelWriter, code: str, handler: str
) -> None:
    folder = write_model("raise ImportError", sub__service_py=SEARCHING.format(code=code))
    _, loaded = load(front, folder, handler=handler, interface="auto")
    assert loaded.code == 200, loaded
    assert Path(folder, "imports.txt").read_text() == "imported\n"


def test_a_module_beside_the_handler_can_be_imported(
    front: Front, write_model: ModelWriter
) -> None:
    source = "import beside\ndef handle(data, context):\n    return [beside.WORD]\n"
    worker, _ = load(front, write_model(source, beside_py="WORD = 'from beside'\n"))
    assert worker.predict().body == b"from beside"


def test_a_function_is_called_once_without_data_and_by_position(
    front: Front, write_model: ModelWriter
) -> None:
    source = """
        calls = []
        def handle(one, two):
            calls.append([one is None, two.model_name, two.request_ids is None,
                          two.request_processor is None, two.metrics is not None])
            return [calls] if one else "ignored"
    """
    worker, _ = load(front, write_model(source), model_name="mine")
    first, second = json.loads(worker.predict().body)
    assert first == [True, "mine", True, True, True]
    assert second == [False, "mine", False, False, True]


OWN = """
class Own:
    def handle(self, data, context):
        return ['own'] * len(data)
"""
ASYNCHRONOUS = """
class Own:
    async def initialize(self, context):
        self.word = "own"
    async def handle(self, data, context):
        return [self.word] * len(data)
Alias = Own
"""


@pytest.mark.parametrize(
    "source",
    [
        OWN,
        f"from collections import OrderedDict\n{OWN}",
        f"class Error(Exception):\n    pass\n{OWN}",
        ASYNCHRONOUS,
    ],
    ids=["without initialize", "an imported class", "a helper class", "asynchronous"],
)
def test_a_single_class_is_an_entry_point(
    front: Front, write_model: ModelWriter, source: str
) -> None:
    worker, loaded = load(front, write_model(source), handler="service:absent")
    assert loaded.code == 200, loaded
    assert worker.predict().body == b"own"


def test_a_class_with_an_entry_point_of_its_own_can_be_named(
    front: Front, write_model: ModelWriter
) -> None:
    source = """
        class Other:
            def handle(self, data, context):
                return ["other"] * len(data)

        class Named:
            def handle(self, data, context):
                return ["named"] * len(data)
    """
    worker, loaded = load(front, write_model(source), handler="service:Named")
    assert loaded.code == 200, loaded
    assert worker.predict().body == b"named"


def test_a_class_is_initialized_without_metrics(front: Front, write_model: ModelWriter) -> None:
    source = CLASS.format(statement="assert context.metrics is None")
    worker, loaded = load(front, write_model(source))
    assert loaded.code == 200, loaded
    assert worker.predict().body == b"1"


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("class One:\n    pass\nclass Two:\n    pass\n", "ValueError: Expected only one class"),
        ("handle = 17\n", "ValueError: handler service:handle cannot be called: it is"),
        ("WORDS = 'neither'\n", "ValueError: Expected only one class in module service"),
        ("class One:\n    pass\n", "ValueError: class One has no method handle(data, context)"),
        ("import not_there_at_all\n", "ModuleNotFoundError: No module named 'not_there_at_all'"),
        ("\nthis is no python\n", "SyntaxError: invalid syntax (service.py, line 2)"),
        (
            "import os\ndef handel(d, c): ...\ndef load(): ...\n",
            (
                "ValueError: Expected only one class in module service, or the function handle that its "
                "handler names; functions there: handel, load; classes there: none"
            ),
        ),
        ("import sys\nsys.exit(3)\n", "SystemExit: 3"),
        ("def handle(d, c):\n    raise RuntimeError('not\\ntoday')\n", "RuntimeError: not today"),
        (CLASS.format(statement="raise KeyError('x')"), "KeyError: 'x'"),
    ],
)
def test_a_model_that_does_not_load_says_why(
    front: Front, write_model: ModelWriter, source: str, error: str
) -> None:
    worker, loaded = load(front, write_model(source), is_forked=False)
    assert loaded.code == 500
    assert loaded.error.startswith(error)
    assert "mms/worker" not in loaded.traceback
    if "SyntaxError" not in error:
        assert error in " ".join(loaded.traceback.split())
    assert worker.work.receive() is None
    assert front.wait_exit() == 1


def test_the_traceback_of_a_failed_load_begins_in_the_models_code(
    front: Front, write_model: ModelWriter
) -> None:
    folder = write_model("import inner\n", inner_py="def f():\n    1 / 0\nf()\n")
    _, loaded = load(front, folder)
    lines = loaded.traceback.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert f'File "{folder}/service.py", line 1' in lines[1]
    assert loaded.error == "ZeroDivisionError: division by zero"


@pytest.mark.parametrize(
    "source",
    [
        "def handle(data, context):\n    raise MemoryError('full')\n",
        CLASS.format(statement="raise MemoryError('full')"),
        "raise MemoryError('full')\n",
    ],
)
@pytest.mark.parametrize("initialize_errors", ["fail", "ignore"])
def test_a_lack_of_memory_at_load_is_507(
    front: Front, write_model: ModelWriter, source: str, initialize_errors: str
) -> None:
    _, loaded = load(front, write_model(source), initialize_errors=initialize_errors)
    assert (loaded.code, loaded.message) == (507, "System out of memory")
    assert loaded.error == "MemoryError: full"


def test_an_error_in_initialize_can_be_let_pass_and_is_told_nevertheless(
    front: Front, write_model: ModelWriter
) -> None:
    folder = write_model(CLASS.format(statement="raise ValueError('not today')"))
    worker, loaded = load(front, folder, initialize_errors="ignore")
    assert (loaded.code, loaded.error) == (200, "ValueError: not today")
    assert "in initialize" in loaded.traceback
    assert worker.predict().body == b"1"


def test_an_error_of_a_function_at_load_is_never_let_pass(
    front: Front, write_model: ModelWriter
) -> None:
    source = "def handle(data, context):\n    raise ValueError('x')\n"
    _, loaded = load(front, write_model(source), initialize_errors="ignore")
    assert loaded.code == 500


@pytest.mark.parametrize(
    ("members", "error"),
    [
        ({"model_dir": "/absent/model"}, "FileNotFoundError"),
        ({"interface": "absent"}, "ValueError: unknown interface 'absent'"),
        (
            {"handler": "absent:handle"},
            "ModuleNotFoundError: No module named 'absent'; the model's folder has mms.py, service.py",
        ),
        ({"handler": "mms:handle"}, "ImportError: handler module mms has the name of a module"),
    ],
)
def test_a_load_that_cannot_be_done_says_why(
    front: Front, write_model: ModelWriter, members: dict[str, Any], error: str
) -> None:
    folder = write_model("", mms_py="def handle(data, context):\n    return []\n")
    _, loaded = load(front, folder, **members)
    assert loaded.code == 500
    assert loaded.error.startswith(error)


#: Names that the worker itself has imported, that libraries import, and that nobody has yet.
_LIBRARY_NAMES = ("copy", "typing", "dataclasses", "json", "queue", "statistics")


@pytest.mark.parametrize("handler", ["service:handle", "json:handle", "sub/queue.py:handle"])
def test_files_named_like_modules_of_python_are_the_models_own_and_nobody_elses(
    front: Front, write_model: ModelWriter, handler: str
) -> None:
    source = "\n".join(
        [
            *(f"import {name}" for name in _LIBRARY_NAMES if f"{name}." not in handler),
            "import email.inner, asyncio, fractions, pathlib, decimal",
            "from copy import helped",
            "def handle(data, context):",
            "    # What Python's own modules see, those too that come in late.",
            "    from concurrent import futures",
            "    from numpy import ones",
            "    modules = [copy, typing, dataclasses, statistics, email, email.inner]",
            "    inside = [module.__file__.startswith(context.system_properties['model_dir'])",
            "              for module in modules]",
            "    futures.ThreadPoolExecutor(1).submit(lambda: 1).result()",
            "    return [[inside, helped(), email.inner.value, pathlib.Path('/').is_dir()]]",
        ]
    )
    files = {f"{name}_py": "def helped():\n    return 'helped'\n" for name in _LIBRARY_NAMES}
    files |= {"email__inner_py": "from . import other\nvalue = other.value\n"}
    files |= {"email__other_py": "value = 'relative'\n", "sub__queue_py": source}
    if handler == "json:handle":
        files["json_py"] = source
    folder = write_model(source, **files)
    Path(folder, "email", "__init__.py").touch()
    worker, loaded = load(front, folder, handler=handler)
    assert loaded.code == 200, loaded
    assert json.loads(worker.predict().body) == [[True] * 6, "helped", "relative", True]


def test_metrics_at_load_are_sent_without_a_request(front: Front, write_model: ModelWriter) -> None:
    source = """
        def handle(data, context):
            if data is None:
                context.metrics.add_time("LoadTime", 5, idx=0)
            return ["OK"]
    """
    worker, _ = load(front, write_model(source))
    (line,) = worker.load_metrics
    assert line.startswith("LoadTime.Milliseconds:5|#ModelName:m,Level:Model|#hostname:")
    assert line.rpartition(",")[2].isdigit()
    assert worker.run(Request()).metrics == []


def test_the_context_knows_its_model(front: Front, write_model: ModelWriter) -> None:
    source = """
        def handle(data, context):
            return [[context.model_name, context.manifest, context.system_properties]]
    """
    manifest = {"model": {"modelName": "in the file", "handler": "x"}, "userData": [1]}
    folder = write_model(source, manifest)
    worker, _ = load(front, folder, model_name="given", batch_size=7, gpu_id=3)
    name, its_manifest, properties = json.loads(worker.predict().body)
    assert (name, its_manifest) == ("given", manifest)
    assert properties.pop("server_version")
    assert properties == {
        "model_dir": folder,
        "gpu_id": 3,
        "batch_size": 7,
        "server_name": "MMS",
    }


def test_without_a_manifest_the_context_has_none(front: Front, write_model: ModelWriter) -> None:
    folder = write_model("def handle(data, context):\n    return [context.manifest]\n", None)
    worker, loaded = load(front, folder)
    assert loaded.interface == "mms"
    assert worker.predict().body == b"null"


@pytest.mark.parametrize("text", ["{no json", "[1]"])
def test_a_manifest_that_is_no_object_fails_the_load(
    front: Front, write_model: ModelWriter, text: str
) -> None:
    folder = write_model("def handle(data, context):\n    return []\n", None)
    Path(folder, "MAR-INF", "MANIFEST.json").write_text(text)
    _, loaded = load(front, folder)
    assert loaded.code == 500
