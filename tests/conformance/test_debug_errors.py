"""`debug_errors`: answers that say what a handler's author needs to know."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.processes import free_port
from support.server import Server, ServerPool, manifest

from mms.interfaces.seldon.codec.messages import SeldonMessage

from .test_seldon_grpc import connected

pytestmark = pytest.mark.better_than_mms

_HANDLER = """
def helper(value):
    return {}[value]

def handle(data, context):
    return data and eval(data[0]["body"])
"""
#: What the handler returns -> MMS's text, and what comes behind it.
CASES = {
    "helper('weights')": ("Prediction failed", "KeyError: 'weights' (service.py, line 3)"),
    "{'a': 1}": (
        "Invalid model predict output",
        "the entry point returned dict; a list with one result for the request is right",
    ),
    "[1, 2]": (
        "number of batch response mismatched",
        "the entry point returned a list of 2; a list with one result for the request is right",
    ),
}


@pytest.fixture(scope="module")
def open_server(servers: ServerPool) -> Iterator[Server]:
    settings = {"debug_errors": "true", "grpc_address": f"grpc://127.0.0.1:{free_port()}"}
    running = Server(servers.new_directory(), settings).start()
    yield running
    running.stop()


def _model(server: Server, source: str, handler: str, interface: str | None = None) -> str:
    """A model that is written and registered once for a server."""
    url = f"debug-{handler.partition(':')[2]}"
    if not (server.store / url).exists():
        server.write_model(url, source, manifest(url) if interface is None else None)
    options = {} if interface is None else {"handler": handler, "interface": interface}
    return server.shared(url, **options)


def _told(server: Server, returned: str) -> tuple[int, str]:
    model = _model(server, _HANDLER, "service:handle")
    reply = server.inference.post(f"/predictions/{model}", returned, content_type="text/plain")
    return reply.status, reply.json()["message"]


@pytest.mark.parametrize("returned", CASES)
def test_an_answer_carries_what_went_wrong_behind_mms_s_text(
    open_server: Server, returned: str
) -> None:
    text, problem = CASES[returned]
    assert _told(open_server, returned) == (503, f"{text}: {problem}")


def test_an_answer_says_what_in_a_result_cannot_be_written(open_server: Server) -> None:
    assert _told(open_server, "[{'found': {1, 2}}]") == (
        503,
        (
            "Unsupported model output data type. "
            "It cannot be written: TypeError: Object of type set is not JSON serializable"
        ),
    )


@pytest.mark.parametrize("returned", CASES)
def test_without_it_an_answer_is_mms_s_text_and_the_log_has_the_rest(
    main_server: Server, returned: str
) -> None:
    text, problem = CASES[returned]
    assert _told(main_server, returned) == (503, text)
    if text != "Prediction failed":
        main_server.wait_for_log("model_log.log", problem)


_COMPONENT = """
class Component:
    def predict(self, X, names=None):
        return {}["weights"]

class Refusing:
    def predict(self, X, names=None):
        from seldon_core.flask_utils import SeldonMicroserviceException
        raise SeldonMicroserviceException("too few", status_code=422)
"""
_MLRUN = """
import mlrun

class Model(mlrun.serving.V2ModelServer):
    def load(self):
        pass

    def predict(self, request):
        return {}[request["inputs"][0]]
"""
_DATA = {"data": {"ndarray": [[1]]}}


def _seldon_info(server: Server, class_name: str) -> tuple[int, str]:
    model = _model(server, _COMPONENT, f"service:{class_name}", "seldon")
    reply = server.inference.post_json(f"/seldon/{model}/api/v1.0/predictions", _DATA)
    return reply.status, reply.json()["status"]["info"]


def _mlrun_text(server: Server, body: object) -> tuple[int, str]:
    """A model of MLRun's is gone with each call: it takes the root of the server, which others share."""
    url = "debug-mlrun"
    if not (server.store / url).exists():
        server.write_model(url, _MLRUN)
    with server.registered(url, handler="service:Model", interface="mlrun") as model:
        reply = server.inference.post_json(f"/v2/models/{model}/infer", body)
    return reply.status, reply.text


def test_seldon_s_form_carries_exception_file_and_line(
    open_server: Server, main_server: Server
) -> None:
    assert _seldon_info(open_server, "Component") == (
        500,
        "KeyError: 'weights' (service.py, line 4)",
    )
    assert _seldon_info(main_server, "Component") == (500, "'weights'")


def test_what_a_component_chose_to_answer_stays_as_it_is(open_server: Server) -> None:
    assert _seldon_info(open_server, "Refusing") == (422, "too few")


def test_grpc_details_carry_exception_file_and_line(open_server: Server) -> None:
    model = _model(open_server, _COMPONENT, "service:Component", "seldon")
    port = int(open_server.settings["grpc_address"].rpartition(":")[2])
    with connected(port, [("seldon", model)]) as service:
        error = service.fail("Seldon/Predict", SeldonMessage(strData="x"))
    assert error.details() == "KeyError: 'weights' (service.py, line 4)"


def test_mlrun_s_form_carries_file_and_line_behind_the_exception(
    open_server: Server, main_server: Server
) -> None:
    body = {"inputs": ["weights"]}
    text = "KeyError: 'weights'"
    assert _mlrun_text(open_server, body) == (400, f"{text} (service.py, line 9)")
    assert _mlrun_text(main_server, body) == (400, text)


def test_an_mlrun_client_s_mistake_has_no_place_in_the_model(
    open_server: Server, main_server: Server
) -> None:
    told = _mlrun_text(open_server, {"inputs": 1})
    assert told[0] == 400
    assert told == _mlrun_text(main_server, {"inputs": 1})
