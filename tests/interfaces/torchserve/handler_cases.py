"""Handlers as users of TorchServe wrote them, and requests to each: the same answers are right on both servers."""

from __future__ import annotations

import json
from typing import NamedTuple

#: What a handler is made of that does one thing with each request.
EACH = "def handle(data, context):\n    return [{} for row in data or []]\n"
BODY = "(row.get('data') or row.get('body'))"
FORM = "application/x-www-form-urlencoded"
MULTIPART = 'multipart/form-data; boundary="edge"'
JSON = "application/json"


class Call(NamedTuple):
    """A request. `path` goes behind `/predictions/<model>`."""

    body: bytes = b""
    content_type: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    path: str = ""
    method: str = "POST"


class Case(NamedTuple):
    """A handler. `files`: more of its archive, by name; `model-config.yaml` is named in the manifest."""

    source: str
    calls: tuple[Call, ...]
    files: tuple[tuple[str, str], ...] = ()
    handler: str = "service.py"
    #: The server's `service_envelope`.
    envelope: str = ""


def each(expression: str, *calls: Call, imports: str = "") -> Case:
    return Case(f"{imports}\n{EACH.format(expression)}", calls or (Call(b"hello"),))


def part(name: str, content: bytes, content_type: str = "", file_name: str = "") -> bytes:
    file = f'; filename="{file_name}"' if file_name else ""
    lines = [f'Content-Disposition: form-data; name="{name}"{file}']
    if content_type:
        lines.append(f"Content-Type: {content_type}")
    return b"--edge\r\n" + "\r\n".join(lines).encode() + b"\r\n\r\n" + content + b"\r\n"


def form(*parts: bytes) -> Call:
    return Call(b"".join(parts) + b"--edge--\r\n", MULTIPART)


CLASS = """
class Service:
    def __init__(self):
        self.count = None

    def initialize(self, context):
        self.count = 0
        self.properties = context.system_properties

    def handle(self, data, context):
        self.count += len(data)
        return [f"request {self.count}" for _ in data]
"""
STAGES = """
from ts.torch_handler.base_handler import BaseHandler

class Service(BaseHandler):
    def initialize(self, context):
        self.factor = context.model_yaml_config["handler"]["factor"]
        self.initialized = True

    def preprocess(self, data):
        return [row["body"]["x"] for row in data]

    def inference(self, data):
        return [self.factor * value for value in data]

    def postprocess(self, data):
        return [{"y": value} for value in data]

    def get_insights(self, prepared, inputs, target):
        return [{"insights": prepared, "target": target}]
"""
RAISES = "def handle(data, context):\n    if data:\n        {}\n"
SETS = (
    "def handle(data, context):\n    if data:\n        {}\n    return ['said'] * len(data or [])\n"
)
PARTS = (
    "from ts.handler_utils.utils import send_intermediate_predict_response\n"
    "def handle(data, context):\n    if data:\n        {}\n    return ['end'] * len(data or [])\n"
)
ASYNCHRONOUS = """
import asyncio

class Service:
    def initialize(self, context):
        self.count = 0

    async def handle(self, data, context):
        await asyncio.sleep(0)
        self.count += 1
        word = bytes(data[0]["body"]).decode()
        if word == "fail":
            raise ValueError("hidden")
        return [f"{word} {self.count}"]
"""
METRICS = """
from ts.metrics.dimension import Dimension
from ts.metrics.metric_cache_errors import MetricsCacheKeyError
from ts.metrics.metric_type_enum import MetricTypes

def handle(data, context):
    metrics = context.metrics
    if data is None:
        metrics.add_metric_to_cache("Sizes", "bytes", ["ModelName", "Level"], MetricTypes.HISTOGRAM)
        return None
    said = []
    metrics.add_counter("Seen", 1, 0)
    metrics.add_counter("Seen", -1)
    metrics.add_time("Slow", 1.5, None, "s", [Dimension("stage", "first")])
    metrics.add_size("Big", 3, None, "kB")
    metrics.add_percent("Full", 99.5, metric_type=MetricTypes.GAUGE)
    metrics.add_error("Wrong", 1)
    metrics.add_metric("Own", 7, "apples", dimensions=[Dimension("a", "b")])
    metrics.get_metric("Sizes", MetricTypes.HISTOGRAM).add_or_update(12, ["m", "Model"])
    for call in (
        lambda: metrics.get_metric("absent"),
        lambda: metrics.add_time("Slow", 1, unit="h"),
        lambda: metrics.add_size("Big", 1, unit="TB"),
        lambda: metrics.add_metric_to_cache("x", 1),
        lambda: metrics.add_metric_to_cache("x", "y", metric_type="counter"),
        lambda: metrics.add_metric_to_cache("x", "y", "z"),
    ):
        try:
            call()
            said.append("nothing")
        except Exception as error:
            said.append([type(error).__name__, str(error).strip('"'), isinstance(error, KeyError)])
    said.append(sorted(metrics.cache_keys()))
    own = metrics.get_metric("Own")
    said.append([own.metric_name, own.unit, own.dimension_names, own.metric_type.name])
    return [said] * len(data)
"""
ECHO = """
def handle(data, context):
    if data is None:
        return None
    return [row if not isinstance(row, (bytes, bytearray)) else len(row) for row in map(shown, data)]

def shown(row):
    if isinstance(row, dict):
        row = row.get("data", row)
    return {k: len(v) if isinstance(v, bytes) else v for k, v in row.items()} if isinstance(row, dict) else row
"""
V2_REQUEST = json.dumps(
    {
        "id": "seven",
        "inputs": [
            {"name": "a", "shape": [2, 2], "datatype": "INT64", "data": [1, 2, 3, 4]},
            {"name": "b", "shape": [1], "datatype": "FP32", "data": [0.5]},
            {"name": "c", "shape": [1], "datatype": "BYTES", "data": ["text"]},
        ],
    }
).encode()
MICRO = """
from ts.handler_utils.micro_batching import MicroBatching
from ts.torch_handler.base_handler import BaseHandler

class Service(BaseHandler):
    def __init__(self):
        super().__init__()
        self.handle = MicroBatching(self, micro_batch_size=2, parallelism={"inference": 2})

    def initialize(self, context):
        self.initialized = True

    def preprocess(self, data):
        return [len(row["body"]) for row in data]

    def inference(self, data):
        return [value * 2 for value in data]

    def postprocess(self, data):
        return [f"{value} in slice {self.handle.get_micro_batch_idx()}" for value in data]
"""
HELPERS = """
import inspect
from ts.handler_utils.text_utils import get_tokenizer, ngrams_iterator
from ts.handler_utils.utils import import_class
from ts.utils.util import (
    CLEANUP_REGEX, PredictionException, check_valid_pt2_backend, list_classes_from_module,
    load_label_mapping, map_class_to_label,
)
import helper_module

def handle(data, context):
    if data is None:
        return None
    mapping = load_label_mapping("index_to_name.json")
    return [[
        mapping,
        load_label_mapping("absent.json"),
        map_class_to_label([[0.25, 0.75]], mapping),
        map_class_to_label([[0.5]], mapping, [[1]]),
        map_class_to_label([[1, 2]]),
        [found.__name__ for found in list_classes_from_module(helper_module)],
        [found.__name__ for found in list_classes_from_module(helper_module, helper_module.B)],
        check_valid_pt2_backend("inductor"), check_valid_pt2_backend("none"),
        CLEANUP_REGEX.sub("", "<b>bold</b> &amp; more"),
        get_tokenizer("basic_english")("You can't, said <br /> \\"he\\": no! (ever); or?"),
        get_tokenizer(None)("a  b"),
        list(ngrams_iterator(["a", "b", "c"], 3)),
        import_class("helper_module.A").__name__,
        str(PredictionException("short", 404)),
    ]] * len(data)
"""
TYPES = (
    "{key: [type(value).__name__, bytes(value).decode('latin-1') if isinstance(value, bytearray) else value] "
    "for key, value in sorted(row.items())}"
)
WORDS = (
    "sorted((name, value) for name, value in context.get_all_request_header(0).items() "
    "if name.lower() not in ('host', 'accept-encoding', 'content-length', 'connection'))"
)

CASES: dict[str, Case] = {
    # What a request is decoded to.
    "types": each(
        TYPES,
        Call(b"raw \xff bytes", "application/octet-stream"),
        Call(b"no content type"),
        Call(b""),
        Call("ümlaut".encode(), "text/plain"),
        Call(b"\xff\xfe\xfd", "text/plain"),
        Call("fünf".encode("latin-1"), "text/plain; charset=iso-8859-1"),
        Call(b'{"a": [1, 2.5, null]}', JSON),
        Call(b'{"a": [1, 2', JSON),
        Call(b"", JSON),
        Call(b'{"a": 1}', f"{JSON}; charset=utf-8"),
        Call(b'{"a": 1}', "application/json5"),
        Call(b'{"a": NaN}', JSON),
        Call(b"a=1&b=two+words&c=%C3%BC&a=2", FORM),
        form(part("data", b"\x00\x01", "image/png", "x.png"), part("note", b"plain")),
        form(part("data", b'{"a": 1}', JSON, "x.json"), part("text", b"t", "text/plain", "t.txt")),
        form(part("same", b"first"), part("same", b"second")),
        form(part("data", b"{broken", JSON, "x.json")),
        Call(method="GET"),
        Call(b"query is dropped", path="?a=1&body=2"),
    ),
    "odd_types": each(
        TYPES,
        Call("ab".encode("utf-16"), "text/plain;charset=utf-16"),
        Call(b'{"a": 1}', "APPLICATION/JSON"),
        Call(b"x=1;y=2", f"{FORM}; charset=utf-8"),
        Call(b"[1, 2]", JSON),
        Call(b"5", JSON),
        Call(b'"text"', JSON),
        Call(b"null", JSON),
    ),
    "request_properties": each(
        "[context.request_processor[0].get_request_property(name) for name in ('X-Own', 'absent')]",
        Call(b"x", headers=(("X-Own", "one"),)),
    ),
    "headers": each(
        WORDS,
        Call(b"x", headers=(("X-Own", "one"), ("x-lower", "two"))),
        Call(b"x", "text/plain", path="/1.0"),
    ),
    "one_header": each(
        "[context.get_request_header(0, 'X-Own'), context.get_request_header(0, 'absent')]",
        Call(b"x", headers=(("X-Own", "one"),)),
    ),
    "sequence": each(
        "context.get_sequence_id(0)", Call(b"x", headers=(("ts_request_sequence_id", "s-7"),))
    ),
    "url_path": each("context.get_request_header(0, 'url_path')", Call(b"x")),
    # What an answer is made of.
    "echo": each(f"bytes({BODY})", Call(b"\x00\xffbinary")),
    "bytearray": each(BODY),
    "text": each("'plain'"),
    "unicode": each("'gr\\u00fc\\u00df \\u4f60\\u597d'"),
    "empty_text": each("''"),
    "number": each("42"),
    "fraction": each("0.1 + 0.2"),
    "nothing": each("None"),
    "truth": each("True"),
    "mapping": each("{'b': [1, {'c': None}], 'a': 'x'}"),
    "listing": each("[[], {}, [1.5, 'two', False]]"),
    "not_finite": each("[float('nan'), float('inf'), -float('inf')]"),
    "unicode_json": each("{'k': 'gr\\u00fc\\u00df \\U0001f600'}"),
    "number_keys": each("{1: 'a', None: 'b', True: 'c'}"),
    "tuple": each("(1, (2, 3))"),
    "nested": each("[{'a': (1, 2), 'b': {'c': [True, None]}}]"),
    "big_number": each("2 ** 70"),
    # What an answer cannot be made of.
    "bytes_in_mapping": each("{'a': b'x'}"),
    "a_mapping": Case("def handle(data, context):\n    return {'a': 1}\n", (Call(b"x"),)),
    "a_set": each("{1, 2}"),
    "an_object": each("object()"),
    "no_list": Case("def handle(data, context):\n    return 'text'\n", (Call(b"x"),)),
    "a_tuple": Case("def handle(data, context):\n    return ('a',)\n", (Call(b"x"),)),
    "no_answer": Case("def handle(data, context):\n    pass\n", (Call(b"x"),)),
    "too_many": Case("def handle(data, context):\n    return ['a', 'b']\n", (Call(b"x"),)),
    "too_few": Case("def handle(data, context):\n    return []\n", (Call(b"x"),)),
    # Exceptions.
    "value_error": Case(RAISES.format("raise ValueError('hidden')"), (Call(b"x"),)),
    "memory_error": Case(RAISES.format("raise MemoryError()"), (Call(b"x"),)),
    "cuda_error": Case(RAISES.format("raise RuntimeError('CUDA out of memory')"), (Call(b"x"),)),
    "prediction": Case(
        "from ts.utils.util import PredictionException\n"
        + RAISES.format("raise PredictionException('Some Prediction Error', 599)"),
        (Call(b"x"),),
    ),
    "prediction_500": Case(
        "from ts.service import PredictionException\n"
        + RAISES.format("raise PredictionException('quiet')"),
        (Call(b"x"),),
    ),
    "prediction_404": Case(
        "from ts.utils.util import PredictionException\n"
        + RAISES.format("raise PredictionException('no \"such\" \\u00fc', 404)"),
        (Call(b"x"),),
    ),
    "prediction_empty": Case(
        "from ts.utils.util import PredictionException\n"
        + RAISES.format("raise PredictionException('', 400)"),
        (Call(b"x"),),
    ),
    "assertion": Case(RAISES.format("assert False, 'hidden'"), (Call(b"x"),)),
    "end_of_process": Case(
        "import os\n" + RAISES.format("os._exit(3)"),
        (Call(b"x"),),
    ),
    # The head of an answer.
    "status": Case(SETS.format("context.set_response_status(201, 'Made', 0)"), (Call(b"x"),)),
    "own_error": Case(SETS.format("context.set_response_status(507, '', 0)"), (Call(b"x"),)),
    "all_status": Case(SETS.format("context.set_all_response_status(404, 'Gone')"), (Call(b"x"),)),
    "head": Case(
        SETS.format(
            "context.set_response_content_type(0, 'text/csv'); "
            "context.set_response_header(0, 'X-Own', 'value')"
        ),
        (Call(b"x"),),
    ),
    "read_back": each(
        "[context.get_response_status(0), context.get_response_headers(0), context.get_response_content_type(0)]"
    ),
    "header_letters": Case(
        SETS.format("context.set_response_header(0, 'X-Own', '\\u00fc')"), (Call(b"x"),)
    ),
    "header_twice": Case(
        SETS.format("[context.set_response_header(0, 'X-Own', word) for word in 'ab']"),
        (Call(b"x"),),
    ),
    "header_of_type": Case(
        SETS.format("context.set_response_header(0, 'Content-Type', 'text/x')"), (Call(b"x"),)
    ),
    "header_of_server": Case(
        SETS.format("context.set_response_header(0, 'Cache-Control', 'max-age=1')"), (Call(b"x"),)
    ),
    "no_content": Case(SETS.format("context.set_response_status(204, 'None', 0)"), (Call(b"x"),)),
    "odd_status": Case(SETS.format("context.set_response_status(599, 'Odd', 0)"), (Call(b"x"),)),
    "wrong_place": Case(SETS.format("context.set_response_status(201, 'x', 5)"), (Call(b"x"),)),
    # Parts of an answer.
    "parts": Case(
        PARTS.format(
            "[send_intermediate_predict_response([part], context.request_ids, 'Sent', 200, context) "
            "for part in ('text ', {'a': [1]}, 7, b'bytes')]"
        ),
        (Call(b"x"),),
    ),
    "parts_with_head": Case(
        PARTS.format(
            "context.set_response_content_type(0, 'text/event-stream'); "
            "context.set_response_header(0, 'X-Own', 'value'); "
            "send_intermediate_predict_response(['first '], context.request_ids, 'Sent', 200, context)"
        ),
        (Call(b"x"),),
    ),
    "asynchronous": Case(
        ASYNCHRONOUS,
        (Call(b"one"), Call(b"fail"), Call(b"two")),
        (("model-config.yaml", "asyncCommunication: true\nbatchSize: 1\n"),),
    ),
    # How a handler is made.
    "no_suffix": Case(EACH.format("'found'"), (Call(b"x"),), handler="service"),
    "state_of_module": Case(
        "calls = []\n" + EACH.format("len(calls) or calls.append(1) or 0"), (Call(b"x"), Call(b"x"))
    ),
    "class_handler": Case(CLASS, (Call(b"1"), Call(b"2"), Call(b"3"))),
    "stages": Case(
        STAGES,
        (Call(b'{"x": 4}', JSON), Call(b'{"x": "ab"}', JSON), Call(b"no JSON")),
        (("model-config.yaml", "handler:\n  factor: 3\nmaxBatchDelay: 10\n"),),
    ),
    "named_function": Case(
        "def other(data, context):\n    return ['other'] * len(data or [])\n"
        "def handle(data, context):\n    return ['handle'] * len(data or [])\n",
        (Call(b"x"),),
        handler="service.py:other",
    ),
    "sibling": Case(
        "from helper_module import word\n" + EACH.format("word + open('note.txt').read()"),
        (Call(b"x"),),
        (("helper_module.py", "word = 'from beside '\n"), ("note.txt", "and a file")),
    ),
    "micro_batching": Case(
        MICRO,
        (Call(b"four"), Call(b"")),
    ),
    # What a handler is told, and what it is helped with.
    "manifest": each(
        "[context.manifest['model']['modelName'], context.manifest['model']['handler'], context.manifest['runtime'], "
        "context.model_name, context.model_yaml_config]"
    ),
    "properties": each(
        "[sorted(context.system_properties), context.system_properties['gpu_id'], "
        "context.system_properties['batch_size'], context.system_properties['server_name'], "
        "context.system_properties['server_version'], context.system_properties['limit_max_image_pixels']]"
    ),
    "config": Case(
        EACH.format("context.model_yaml_config"),
        (Call(b"x"),),
        (("model-config.yaml", json.dumps({"batchSize": 1, "handler": {"a": [1, "b"]}})),),
    ),
    "request_ids": each(
        "[len(context.request_ids), len(context.get_request_id(0)), context.get_request_id(9)]"
    ),
    "metrics": Case(METRICS, (Call(b"x"),)),
    "helpers": Case(
        HELPERS,
        (Call(b"x"),),
        (
            ("index_to_name.json", '{"0": "cat", "1": ["n01", "dog"]}'),
            ("helper_module.py", "class B: ...\nclass A: ...\nclass C(B): ...\n"),
        ),
    ),
    # Envelopes.
    "envelope_body": Case(ECHO, (Call(b"abc"), Call(b'{"a": 1}', JSON)), envelope="body"),
    "envelope_json": Case(
        ECHO,
        (
            Call(b'{"instances": [1, [2], "three"]}', JSON),
            Call(b'{"instances": [{"b64": "YWJj"}, {"b64": "ZGVm"}]}', JSON),
            Call(b'{"instances": [{"x": {"b64": "YWJj"}, "y": 1}]}', JSON),
            Call(b'{"other": 1}', JSON),
        ),
        envelope="json",
    ),
    "envelope_kserve": Case(
        ECHO,
        (Call(b'{"instances": [1, {"data": 2}]}', JSON), Call(b'{"instances": [3]}')),
        envelope="kserve",
    ),
    "envelope_kservev2": Case(
        ECHO,
        (Call(V2_REQUEST, JSON), Call(V2_REQUEST)),
        envelope="kservev2",
    ),
    "printing": Case(
        "import logging, sys\n"
        + SETS.format("print('said'); logging.warning('warned'); sys.stderr.write('error')"),
        (Call(b"x"),),
    ),
    "context_class": each(
        "[type(context).__name__, isinstance(context, Context), context == context, hasattr(context, 'absent')]",
        imports="from ts.context import Context",
    ),
}
