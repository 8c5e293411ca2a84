"""How the entry point of a model is found and called."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.client import Reply
from support.server import Server, manifest, unique_name

_FUNCTION = "def {name}(data, context):\n    return ['{name}'] * len(data or [1])\n"
_OK = _FUNCTION.format(name="handle")


def _write(server: Server, source: str, handler: str = "service:handle", **files: str) -> str:
    url = unique_name("handler")
    server.write_model(url, source, manifest(url, handler))
    for name, content in files.items():
        path = server.store / url / name.replace("__", "/").replace("_py", ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return url


def _answer(server: Server, url: str, body: bytes = b"x") -> Reply:
    with server.registered(url) as name:
        return server.inference.post(f"/predictions/{name}", body)


def _load(server: Server, url: str) -> Reply:
    name = unique_name(url)
    reply = server.register(url, model_name=name, initial_workers=1)
    server.unregister(name)
    return reply


@pytest.mark.parametrize(
    ("handler", "expected"),
    [
        ("service", "handle"),
        ("service.py", "handle"),
        ("service.py:handle", "handle"),
        ("service:other", "other"),
        ("inner.deep:handle", "handle"),
        ("inner/deep.py:other", "other"),
    ],
)
def test_a_handler_is_named_by_module_and_function(
    main_server: Server, handler: str, expected: str
) -> None:
    source = _FUNCTION.format(name="handle") + _FUNCTION.format(name="other")
    url = _write(main_server, source, handler, inner__deep_py=source, inner__init_py="")
    assert _answer(main_server, url).text == expected


def test_a_module_beside_the_handler_can_be_imported(main_server: Server) -> None:
    source = "import beside\ndef handle(d, c):\n    return [beside.WORD] * len(d or [1])\n"
    url = _write(main_server, source, beside_py="WORD = 'from beside'\n")
    assert _answer(main_server, url).text == "from beside"


@pytest.mark.better_than_mms
def test_files_named_like_modules_of_python_stop_no_worker_and_are_the_handlers_own(
    main_server: Server,
) -> None:
    source = (
        "from copy import word\ndef handle(data, context):\n    return [word] if data else None\n"
    )
    names = ("copy", "typing", "dataclasses", "types", "json", "socket", "logging", "sitecustomize")
    files = {f"{name}_py": f"word = 'from {name}'\n" for name in names}
    url = _write(main_server, source, **files)
    assert _answer(main_server, url).text == "from copy"


def test_a_function_is_called_once_without_data_at_load(main_server: Server) -> None:
    source = (
        "calls = []\n"
        "def handle(data, context):\n"
        "    calls.append(data is None)\n"
        "    return [calls] if data is not None else 'ignored'\n"
    )
    assert _answer(main_server, _write(main_server, source)).json() == [True, False]


def test_a_function_is_called_by_position(main_server: Server) -> None:
    source = "def handle(one, two):\n    return [two.model_name] * len(one or [1])\n"
    url = _write(main_server, source)
    with main_server.registered(url) as name:
        assert main_server.inference.get(f"/predictions/{name}").text == name


def test_an_entry_point_need_not_be_a_function(main_server: Server) -> None:
    source = (
        "class _Callable:\n"
        "    def __call__(self, data, context):\n"
        "        return ['called'] * len(data or [1])\n"
        "handle = _Callable()\n"
    )
    assert _answer(main_server, _write(main_server, source)).text == "called"


def test_a_single_class_is_an_entry_point(server: Server) -> None:
    name = server.shared("class-handler")
    first = server.inference.post(f"/predictions/{name}", b"x").json()
    second = server.inference.post(f"/predictions/{name}", b"x").json()
    assert second["calls"] == first["calls"] + 1
    at_load = first["at_load"]
    assert at_load["metrics"] is False
    assert at_load["request_ids"] is None
    assert at_load["request_processor"] is None
    assert at_load["model_name"] == name
    assert set(at_load["properties"]) >= {
        "batch_size",
        "gpu_id",
        "model_dir",
        "server_name",
        "server_version",
    }


def test_a_class_beside_the_function_does_not_matter(server: Server) -> None:
    name = server.shared("template")
    reply = server.inference.post(f"/predictions/{name}", b"words")
    assert reply.text == "WORDS 1"


def test_an_imported_class_does_not_count(main_server: Server) -> None:
    source = (
        "from collections import OrderedDict\n"
        "class Own:\n"
        "    def initialize(self, context):\n"
        "        pass\n"
        "    def handle(self, data, context):\n"
        "        return ['own'] * len(data)\n"
    )
    assert _answer(main_server, _write(main_server, source)).text == "own"


def test_a_function_that_is_not_there_falls_back_to_the_class(main_server: Server) -> None:
    source = (
        "class Own:\n"
        "    def initialize(self, context):\n"
        "        pass\n"
        "    def handle(self, data, context):\n"
        "        return ['own'] * len(data)\n"
    )
    assert _answer(main_server, _write(main_server, source, "service:absent")).text == "own"


@pytest.mark.parametrize(
    "source",
    [
        "class One:\n    pass\nclass Two:\n    pass\n",
        "WORDS = 'neither function nor class'\n",
        "class One:\n    def initialize(self, context):\n        pass\n",
        "import a_module_that_is_not_there\n",
        "this is no python\n",
    ],
    ids=["two classes", "nothing", "no handle", "no import", "no syntax"],
)
def test_a_module_without_an_entry_point_does_not_load(main_server: Server, source: str) -> None:
    reply = _load(main_server, _write(main_server, source))
    assert reply.status == 500
    assert reply.json()["type"] == "InternalServerException"
    assert "Failed to start workers" in reply.json()["message"]


@pytest.mark.better_than_mms
def test_a_class_need_not_have_initialize(main_server: Server) -> None:
    source = (
        "class Own:\n    def handle(self, data, context):\n        return ['own'] * len(data)\n"
    )
    assert _answer(main_server, _write(main_server, source)).text == "own"


_BROKEN_CLASS = (
    "class Own:\n"
    "    def initialize(self, context):\n"
    "        raise {error}('not today')\n"
    "    def handle(self, data, context):\n"
    "        return ['own'] * len(data)\n"
)


@pytest.mark.better_than_mms
def test_an_error_in_initialize_fails_the_load(main_server: Server) -> None:
    url = _write(main_server, _BROKEN_CLASS.format(error="ValueError"))
    assert _load(main_server, url).status == 500
    main_server.wait_for_log("mms_log.log", "ValueError: not today")
    url = _write(main_server, _BROKEN_CLASS.format(error="MemoryError"))
    assert _load(main_server, url).status == 507


@pytest.mark.better_than_mms
def test_an_error_in_initialize_can_be_ignored_as_before(start_server: Any) -> None:
    server = start_server({"initialize_errors": "ignore"})
    source = (
        "class Own:\n"
        "    def __init__(self):\n"
        "        self.tries = 0\n"
        "    def initialize(self, context):\n"
        "        self.tries += 1\n"
        "        raise ValueError('not today')\n"
        "    def handle(self, data, context):\n"
        "        return [str(self.tries)] * len(data)\n"
    )
    url = _write(server, source)
    with server.registered(url) as name:
        assert server.inference.get(f"/predictions/{name}").text == "1"
        assert "not today" in server.management.get(f"/models/{name}").text


@pytest.mark.better_than_mms
def test_an_entry_point_may_be_asynchronous(server: Server) -> None:
    source = (
        "import asyncio\n"
        "async def handle(data, context):\n"
        "    if data is None:\n"
        "        return None\n"
        "    await asyncio.sleep(0)\n"
        "    return ['awaited'] * len(data)\n"
    )
    assert _answer(server, _write(server, source)).text == "awaited"


def test_a_legacy_model_answers(server: Server) -> None:
    name = server.shared("noop-v0.1")
    for content_type, body in [
        ("application/x-www-form-urlencoded", b"data=test"),
        ("application/octet-stream", b"[1]"),
        ("application/json", b'{"data": "test"}'),
    ]:
        reply = server.inference.post(f"/predictions/{name}", body, content_type=content_type)
        assert (reply.status, reply.body) == (200, b"OK")


@pytest.mark.edge
@pytest.mark.parametrize(
    ("content_type", "body", "value"),
    [
        ("application/x-www-form-urlencoded", b"named=[1, 2]&data=3", "[1, 2]"),
        ("application/x-www-form-urlencoded", b"data=[3]", "[3]"),
        ("application/octet-stream", b"{'a': (1, 2)}", "{'a': (1, 2)}"),
        ("text/plain", b"words", "'words'"),
        ("application/json", b'{"a": 1}', "{'a': 1}"),
    ],
)
def test_a_legacy_model_gets_its_input_by_the_signature(
    server: Server, content_type: str, body: bytes, value: str
) -> None:
    path = f"/predictions/{server.shared('legacy-echo')}"
    reply = server.inference.post(path, body, content_type=content_type)
    assert reply.text == f"['inferred', 'preprocessed', {value}]"


def test_a_legacy_model_without_its_signature_does_not_load(main_server: Server) -> None:
    url = unique_name("unsigned")
    source = main_server.store / "noop-v0.1"
    folder = main_server.store / url
    folder.mkdir()
    for name in ("MANIFEST.json", "noop_service.py"):
        (folder / name).write_bytes((source / name).read_bytes())
    assert _load(main_server, url).status == 500


NAMES = [
    "from mms.context import Context, RequestProcessor",
    "from mms.service import PredictionException, Service, emit_metrics",
    "from mms.metrics.dimension import Dimension",
    "from mms.metrics.metric import Metric, MetricUnit",
    "from mms.metrics.metrics_store import MetricsStore",
    "from mms.metrics.metric_encoder import MetricEncoder",
    "from mms.metrics.unit import Units",
    "from mms.metrics import system_metrics",
    "from mms.model_service.model_service import ModelService, SingleNodeService",
    "from mms.utils.timeit_decorator import timeit",
    "import mms; mms.__version__",
]


def test_the_names_that_handlers_import_are_there(main_server: Server) -> None:
    source = "\n".join([*NAMES, _OK])
    assert _answer(main_server, _write(main_server, source)).text == "handle"


NAMES_BOUND_TO_MXNET = [
    "from mms.model_service.mxnet_model_service import MXNetBaseService, SingleNodeService",
    "from mms.model_service.mxnet_model_service import GluonImperativeBaseService",
    "from mms.model_service.mxnet_model_service import check_input_shape",
    "from mms.model_service.mxnet_vision_service import MXNetVisionService",
    "from mms.model_service.gluon_vision_service import GluonVisionService",
    "from mms.utils.mxnet import image, ndarray, nlp",
]


@pytest.mark.better_than_mms
def test_the_names_bound_to_mxnet_import_without_it(main_server: Server) -> None:
    source = "\n".join([*NAMES_BOUND_TO_MXNET, _OK])
    assert _answer(main_server, _write(main_server, source)).text == "handle"


@pytest.mark.parametrize("handler", ["sub/service.py:handle", "{outside}/service.py:handle"])
def test_a_handler_in_a_folder_goes_before_a_file_of_its_name_in_the_model(
    main_server: Server, scratch: Path, handler: str
) -> None:
    named = "def handle(data, context):\n    return ['the named one'] * len(data or [1])\n"
    (scratch / "service.py").write_text(named)
    url = _write(main_server, _OK, handler.format(outside=scratch), sub__service_py=named)
    assert _answer(main_server, url).text == "the named one"
