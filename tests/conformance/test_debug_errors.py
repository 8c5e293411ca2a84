"""`debug_errors`: answers that say what a handler's author needs to know."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .server import Server, ServerPool, manifest, unique_name

pytestmark = pytest.mark.better_than_mms

_HANDLER = """
def helper(value):
    return {{}}[value]

def handle(data, context):
    return data and {}
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
    running = Server(servers.new_directory(), {"debug_errors": "true"}).start()
    yield running
    running.stop()


def _told(server: Server, returned: str) -> tuple[int, str]:
    name = unique_name("fails")
    server.write_model(name, _HANDLER.format(returned), manifest(name))
    with server.registered(name) as model:
        reply = server.inference.post(f"/predictions/{model}", b"x")
    return reply.status, reply.json()["message"]


@pytest.mark.parametrize("returned", CASES)
def test_an_answer_carries_what_went_wrong_behind_mms_s_text(
    open_server: Server, returned: str
) -> None:
    text, problem = CASES[returned]
    assert _told(open_server, returned) == (503, f"{text}: {problem}")


@pytest.mark.parametrize("returned", CASES)
def test_without_it_an_answer_is_mms_s_text_and_the_log_has_the_rest(
    main_server: Server, returned: str
) -> None:
    text, problem = CASES[returned]
    assert _told(main_server, returned) == (503, text)
    if text != "Prediction failed":
        main_server.wait_for_log("model_log.log", problem)
