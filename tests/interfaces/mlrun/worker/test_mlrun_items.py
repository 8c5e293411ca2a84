"""What a worker answers for a model of MLRun's contract."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from mlrun_served import ID, ServedModel, item

from mms.interfaces.mlrun.errors import GraphError

OpenModel = Callable[..., ServedModel]

MUL = """
    from mms.interfaces.mlrun.model.model_server import V2ModelServer

    class Model(V2ModelServer):
        def load(self):
            self.loads = getattr(self, "loads", 0) + 1

        def predict(self, request):
            return request["inputs"][0] * self.get_param("multiplier")

        def explain(self, request):
            return {"explained": request["inputs"][0]}

        def op_myop(self, event):
            return event.body

        def op_created(self, event):
            return self.context.Response(
                headers={"X-Made": "yes"}, body="made", content_type="text/x-made", status_code=201
            )

        def op_seen(self, event):
            return {
                "method": event.method, "path": event.path, "fields": event.fields, "id": event.id,
                "header": event.get_header("x-own"), "kind": event.trigger.kind,
            }
"""


@pytest.fixture
def mul(open_model: OpenModel) -> ServedModel:
    return open_model(MUL, class_args={"multiplier": 100})


def test_an_infer_request_is_answered_with_mlruns_members_in_their_order(mul: ServedModel) -> None:
    reply = mul.ask("infer", {"inputs": [5]})
    assert reply.status == 200
    assert list(reply.json()) == ["id", "model_name", "outputs", "timestamp"]
    assert reply.json()["outputs"] == 500
    assert reply.json()["id"] == ID.decode()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}\+00:00", reply.json()["timestamp"])


def test_a_model_of_a_version_says_its_version(open_model: OpenModel) -> None:
    served = open_model(MUL, class_args={"multiplier": 1}, model_version="v2")
    answer = served.ask("infer", {"inputs": [5]}).json()
    assert (answer["model_name"], answer["model_version"]) == ("m", "v2")


def test_the_route_key_goes_before_the_servers_own_name(open_model: OpenModel) -> None:
    served = open_model(MUL, class_args={"multiplier": 1}, model_version="1.0", key="m3:v1")
    assert served.ask("", method="GET").json() == {
        "name": "m3",
        "version": "v1",
        "inputs": [],
        "outputs": [],
    }


@pytest.mark.parametrize(
    ("headers", "body_id", "expected"),
    [
        ("Host\nh", None, ID.decode()),
        ("mlrun-event-id\nE1", None, "E1"),
        ("MLRUN-EVENT-ID\nE1", "B1", "B1"),
    ],
)
def test_the_id_is_the_bodys_else_the_headers_else_the_requests(
    mul: ServedModel, headers: str, body_id: str | None, expected: str
) -> None:
    body: dict[str, Any] = {"inputs": [5]}
    if body_id is not None:
        body["id"] = body_id
    assert mul.ask("infer", body, headers=headers).json()["id"] == expected


def test_a_response_of_a_class_keeps_status_headers_and_content_type(mul: ServedModel) -> None:
    reply = mul.ask("created", {"a": 1})
    assert (reply.status, reply.phrase, reply.text) == (201, "Created", "made")
    assert reply.headers == {"x-made": "yes", "content-type": "text/x-made"}


def test_an_event_tells_of_the_request_as_it_came(mul: ServedModel) -> None:
    seen = mul.ask("seen", method="DELETE", query=b"a=1&b=x%20y", headers="X-Own\nmine").json()
    assert seen == {
        "method": "DELETE",
        "path": "seen",
        "fields": {"a": "1", "b": "x y"},
        "id": ID.decode(),
        "header": "mine",
        "kind": "http",
    }


def test_headers_that_a_class_changes_are_whole_for_the_next_request(open_model: OpenModel) -> None:
    served = open_model(
        """
        from mms.interfaces.mlrun.model.model_server import V2ModelServer

        class Model(V2ModelServer):
            def load(self):
                pass

            def op_take(self, event):
                return event.headers.pop("X-Own", None)
        """
    )
    assert [served.ask("take", {"a": 1}, headers="X-Own\nmine").text for _ in range(2)] == [
        "mine",
        "mine",
    ]


NO_TEXT = (
    "ValueError: Unrecognized request format, caused by: "
    "the JSON object must be str, bytes or bytearray, not "
)


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        (item("xx", {"a": 1}), "ValueError: illegal model operation xx, method=POST"),
        (item("infer", {"a": 1}), 'Exception: Expected key "inputs" in request body'),
        (item("infer", {"inputs": 5}), 'Exception: Expected "inputs" to be a list'),
        (item("infer"), 'ValueError: the request has no body; expected JSON with "inputs"'),
        (
            item("infer", method="GET"),
            'ValueError: the request has no body; expected JSON with "inputs"',
        ),
        (item("infer", b"{", content_type=b""), "ValueError: Unrecognized request format"),
        (item("infer", b"xx", content_type=b"text/csv"), "ValueError: Unrecognized request format"),
        (item("infer", b"{"), "failed to json decode event, "),
        # Memory for so many zeros would be asked for, were it taken for a size.
        (item("infer", b"9000000000000000"), f"{NO_TEXT}int"),
        (item("infer", b"2.5"), f"{NO_TEXT}float"),
    ],
)
def test_what_a_client_got_wrong_is_said_in_mlruns_words_with_status_400(
    mul: ServedModel, asked: tuple[Any, ...], text: str
) -> None:
    (reply,) = mul.send(asked)
    assert (reply.status, reply.headers["content-type"]) == (400, "text/plain")
    assert reply.text.startswith(text)


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        (item("xx", {"a": 1}), 404),
        (item("infer", {"a": 1}), 422),
        (item("infer", {"inputs": [[]]}), 500),
    ],
)
def test_strict_statuses_tell_what_kind_of_error_it_is(
    open_model: OpenModel, asked: tuple[Any, ...], status: int
) -> None:
    served = open_model(MUL, class_args={"multiplier": None}, strict_status=True)
    assert served.send(asked)[0].status == status


def test_a_data_url_is_refused_unless_it_is_allowed(mul: ServedModel) -> None:
    reply = mul.ask("infer", {"data_url": "/etc/passwd", "inputs": [1]})
    assert reply.status == 400
    assert "mlrun_data_url" in reply.text


def test_a_data_url_is_read_where_it_is_allowed(open_model: OpenModel, tmp_path: Any) -> None:
    (tmp_path / "data").write_bytes(b"content")
    served = open_model(
        """
        from mms.interfaces.mlrun.model.model_server import V2ModelServer

        class Model(V2ModelServer):
            def load(self):
                pass

            def predict(self, request):
                return request["inputs"][0].read().decode()
        """,
        data_url={"allowed_urls": [f"file://{tmp_path}/d.*"]},
    )
    assert served.ask("infer", {"data_url": str(tmp_path / "data")}).outputs == "content"
    reply = served.ask("infer", {"data_url": str(tmp_path / "other")})
    assert reply.status == 400
    assert "does not match any allowed URL(s)" in reply.text


def test_a_bodys_operation_counts_only_without_one_in_the_url(
    open_model: OpenModel, mul: ServedModel
) -> None:
    body = {"operation": "explain", "inputs": [5]}
    assert mul.ask("infer", body).outputs == 500
    assert mul.ask("", body).outputs == {"explained": 5}
    allowed = open_model(MUL, class_args={"multiplier": 100}, body_operation=True)
    assert allowed.ask("infer", body).outputs == {"explained": 5}


def test_a_header_with_a_path_leads_no_request_elsewhere_in_the_worker(mul: ServedModel) -> None:
    # Where it is allowed, the front has followed it.
    assert mul.ask("infer", {"inputs": [5]}, headers="MLRUN-EVENT-PATH\n/explain").outputs == 500


@pytest.mark.parametrize(
    ("policy", "status", "text"),
    [
        ("null", 200, '"outputs":[null,1.5]'),
        ("keep", 200, '"outputs":[NaN,1.5]'),
        ("error", 500, "JSON"),
    ],
)
def test_the_nan_policy_says_what_becomes_of_nan(
    open_model: OpenModel, policy: str, status: int, text: str
) -> None:
    served = open_model(
        """
        from mms.interfaces.mlrun.model.model_server import V2ModelServer
        import numpy

        class Model(V2ModelServer):
            def load(self):
                pass

            def predict(self, request):
                return numpy.array([float("nan"), 1.5])
        """,
        nan_policy=policy,
    )
    reply = served.ask("infer", {"inputs": [1]})
    assert reply.status == status
    assert text in reply.text


def test_input_and_result_paths_lead_into_the_body(open_model: OpenModel) -> None:
    served = open_model(
        MUL, class_args={"multiplier": 2}, input_path="req", result_path="found.here"
    )
    answer = served.ask("infer", {"req": {"inputs": [5]}}).json()
    assert answer["req"] == {"inputs": [5]}
    assert answer["found"]["here"]["outputs"] == 10


def test_a_memory_error_of_a_model_reaches_the_server(open_model: OpenModel) -> None:
    served = open_model(
        """
        from mms.interfaces.mlrun.model.model_server import V2ModelServer

        class Model(V2ModelServer):
            def load(self):
                pass

            def predict(self, request):
                raise MemoryError("no room")
        """
    )
    with pytest.raises(MemoryError, match="no room"):
        served.ask("infer", {"inputs": [1]})


def test_a_response_with_a_header_that_cannot_be_sent_is_an_error(open_model: OpenModel) -> None:
    served = open_model(
        """
        from mms.interfaces.mlrun.model.model_server import V2ModelServer

        class Model(V2ModelServer):
            def load(self):
                pass

            def op_bad(self, event):
                return self.context.Response(headers={"A B": "c"}, body="x")
        """
    )
    reply = served.ask("bad", {"a": 1})
    assert reply.status == 500
    assert "A B" in reply.text


def test_pieces_of_an_answer_are_sent_as_one(open_model: OpenModel) -> None:
    served = open_model(
        """
        from mms.interfaces.mlrun.model.model_server import V2ModelServer

        class Model(V2ModelServer):
            def load(self):
                pass

            def op_pieces(self, event):
                return (piece for piece in ("a", b"b"))
        """
    )
    assert served.ask("pieces", {"a": 1}).body == b"ab"


def test_metrics_of_a_model_are_gauges_and_sent_when_they_change(open_model: OpenModel) -> None:
    served = open_model(
        """
        from mms.interfaces.mlrun.model.model_server import V2ModelServer

        class Model(V2ModelServer):
            def load(self):
                pass

            def predict(self, request):
                self.set_metric("share of-rows", request["inputs"][0])
                self.set_metric("words", "none")
                return [1]
        """,
        model_version="v1",
    )
    labels = {"model_name": "m", "model_version": "v1"}
    served.ask("infer", {"inputs": [0.5]})
    expected = {"type": "gauge", "name": "share_of_rows", "labels": labels, "value": 0.5}
    assert served.items.take_series() == [expected]
    served.ask("infer", {"inputs": [0.5]})
    assert served.items.take_series() == []
    served.ask("infer", {"inputs": [2]})
    assert served.items.take_series() == [{**expected, "value": 2.0}]


def test_answers_are_json_that_any_client_reads(mul: ServedModel) -> None:
    assert json.loads(mul.ask("infer", {"inputs": ["ü"], "id": "é"}).body)["id"] == "é"


def test_a_response_of_an_operation_is_the_whole_answer_whatever_the_result_path(
    open_model: OpenModel,
) -> None:
    mul = open_model(MUL, class_args={"multiplier": 100}, result_path="answer.m")
    reply = mul.ask("created", {"kept": 1})
    assert (reply.status, reply.headers["x-made"], reply.text) == (201, "yes", "made")
    assert mul.ask("infer", {"inputs": [5]}).json()["answer"]["m"]["outputs"] == 500
    reply = mul.ask("ready", {"kept": 1}, method="GET")
    assert (reply.status, reply.text.partition(" (")[0]) == (200, "Model m is ready")


def test_a_body_without_a_content_type_has_the_functions_default(open_model: OpenModel) -> None:
    plain = open_model(MUL).ask("myop", b"xx [1,2]", content_type=b"")
    assert plain.text.startswith("ValueError: Unrecognized request format")
    typed = open_model(MUL, default_content_type="application/json")
    refused = typed.ask("myop", b"xx [1,2]", content_type=b"")
    assert (refused.status, refused.text.partition(",")[0]) == (400, "failed to json decode event")
    other = typed.ask("myop", b"xx [1,2]", content_type=b"text/plain")
    assert other.text.startswith("ValueError: Unrecognized request format")


INITIALIZED = """
    from mms.interfaces.mlrun.model.model_server import V2ModelServer

    def start(server):
        server.context.started = (server.parameters["a"], sorted(server.graph.routes))

    class Model(V2ModelServer):
        def load(self):
            self.model = self.context.started

        def predict(self, request):
            return self.model
"""


def test_a_functions_initializer_runs_before_its_models_are_made(open_model: OpenModel) -> None:
    graph = {"kind": "router", "routes": {"m": {"class_name": "Model"}}}
    options = {"function_parameters": {"a": 7}, "function_graph": graph}
    model = open_model(INITIALIZED, graph_initializer="start", **options)
    assert model.ask("infer", {"inputs": [1]}).outputs == [7, ["m"]]


def test_an_initializer_that_is_nowhere_is_named(open_model: OpenModel) -> None:
    with pytest.raises(GraphError, match="graph_initializer: handler nobody was not found"):
        open_model(INITIALIZED, graph_initializer="nobody")
