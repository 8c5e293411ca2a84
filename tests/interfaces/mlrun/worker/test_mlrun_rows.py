"""Requests of a batch whose inputs go to one `predict`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from mlrun_served import Reply, ServedModel, item

OpenModel = Callable[..., ServedModel]

SOURCE = """
    from mms.interfaces.mlrun.model.model_server import V2ModelServer

    class Model(V2ModelServer):
        def load(self):
            self.calls = []

        def preprocess(self, request, operation):
            request["inputs"] = [row + 1 for row in request["inputs"]]
            return request

        def predict(self, request):
            self.calls.append(request["inputs"])
            if "bad" in request:
                raise ValueError("bad")
            if 13 in request["inputs"]:
                raise ValueError("thirteen")
            return {outputs}

        def postprocess(self, answer):
            return {{**answer, "count": len(answer["outputs"])}}
"""
DOUBLED = SOURCE.format(outputs='[row * 2 for row in request["inputs"]]')


def opened(open_model: OpenModel, source: str = DOUBLED, **options: Any) -> ServedModel:
    return open_model(source, batch_size=8, **{"row_wise": True, **options})


def ask_all(served: ServedModel, *bodies: Any) -> list[Reply]:
    return served.send(*(item("infer", body) for body in bodies))


def test_inputs_of_a_batch_are_one_call_and_each_request_gets_its_own_outputs(
    open_model: OpenModel,
) -> None:
    served = opened(open_model)
    one, two, three = ask_all(
        served, {"inputs": [1, 2]}, {"inputs": [], "id": "x"}, {"inputs": [3]}
    )
    assert served.server.calls == [[2, 3, 4]]
    assert [reply.outputs for reply in (one, two, three)] == [[4, 6], [], [8]]
    assert two.json()["id"] == "x"


def test_an_answer_is_the_same_joined_and_alone(open_model: OpenModel) -> None:
    served = opened(open_model, model_version="v1")
    bodies = [{"inputs": [1, 2], "id": "a"}, {"inputs": [3]}]
    joined = [reply.json() for reply in ask_all(served, *bodies)]
    alone = [served.ask("infer", body).json() for body in bodies]
    for answer in (*joined, *alone):
        del answer["timestamp"]
    assert joined == alone
    assert [list(answer) for answer in joined] == [list(answer) for answer in alone]
    assert joined[0]["count"] == 2


def test_requests_that_ask_for_different_things_are_not_joined(open_model: OpenModel) -> None:
    served = opened(open_model)
    ask_all(served, {"inputs": [1]}, {"inputs": [2], "parameters": {"a": 1}}, {"inputs": [3]})
    assert served.server.calls == [[2, 4], [3]]


def test_a_request_that_fails_before_predict_fails_alone(open_model: OpenModel) -> None:
    served = opened(open_model, strict_status=True)
    replies = ask_all(served, {"inputs": [1]}, {"inputs": "a"}, b"{", {"inputs": [2]})
    assert [reply.status for reply in replies] == [200, 500, 400, 200]
    assert served.server.calls == [[2, 3]]


def test_where_the_joined_call_fails_only_the_request_at_fault_does(open_model: OpenModel) -> None:
    served = opened(open_model)
    good, bad, other = ask_all(served, {"inputs": [1]}, {"inputs": [12]}, {"inputs": [2]})
    assert (good.outputs, other.outputs) == ([4], [6])
    assert (bad.status, bad.text) == (400, "ValueError: thirteen")


def test_other_operations_of_a_batch_are_answered_in_their_place(open_model: OpenModel) -> None:
    served = opened(open_model)
    replies = served.send(
        item("infer", {"inputs": [1]}),
        item("", method="GET"),
        item("predict", {"inputs": [2]}),
        item("", {"operation": "explain", "inputs": [1]}),
    )
    assert [reply.status for reply in replies] == [200, 200, 200, 400]
    assert replies[1].json()["name"] == "m"
    assert replies[2].outputs == [6]
    assert replies[3].text.startswith("NotImplementedError")
    assert served.server.calls == [[2, 3]]


def test_lists_within_a_dict_of_outputs_are_split_too(open_model: OpenModel) -> None:
    source = SOURCE.format(outputs='{"predictions": request["inputs"]}')
    served = opened(open_model, source)
    replies = ask_all(served, {"inputs": [1, 2]}, {"inputs": [3]})
    assert [reply.outputs for reply in replies] == [{"predictions": [2, 3]}, {"predictions": [4]}]


def test_arrays_are_joined_and_split(open_model: OpenModel) -> None:
    source = """
        import numpy
        from mms.interfaces.mlrun.model.model_server import V2ModelServer

        class Model(V2ModelServer):
            def load(self):
                self.calls = 0

            def validate(self, request, operation):
                request["inputs"] = numpy.asarray(request["inputs"])
                return request

            def predict(self, request):
                self.calls += 1
                return request["inputs"].sum(axis=1)
    """
    served = opened(open_model, source)
    replies = ask_all(served, {"inputs": [[1, 2], [3, 4]]}, {"inputs": [[5, 6]]})
    assert [reply.outputs for reply in replies] == [[3, 7], [11]]
    assert served.server.calls == 1
    # Rows of another width cannot be joined.
    replies = ask_all(served, {"inputs": [[1, 2]]}, {"inputs": [[1, 2, 3]]})
    assert [reply.outputs for reply in replies] == [[3], [6]]


def test_a_class_whose_outputs_do_not_match_its_inputs_is_not_joined_again(
    open_model: OpenModel, capsys: pytest.CaptureFixture[str]
) -> None:
    served = opened(open_model, SOURCE.format(outputs='[sum(request["inputs"])]'))
    for _ in range(2):
        replies = ask_all(served, {"inputs": [1, 2]}, {"inputs": [3]})
        assert [reply.outputs for reply in replies] == [[5], [4]]
    assert served.server.calls == [[2, 3, 4], [2, 3], [4], [2, 3], [4]]
    assert capsys.readouterr().err.count("row_wise is set, but predict gave no 3 outputs") == 1


@pytest.mark.parametrize(
    ("source", "options", "is_joined"),
    [
        (DOUBLED, {"row_wise": None}, False),
        (DOUBLED, {"row_wise": False, "class_args": {"row_wise": True}}, False),
        (DOUBLED, {"row_wise": None, "class_args": {"row_wise": "true"}}, True),
        (DOUBLED + "\n        row_wise = True\n", {"row_wise": None}, True),
    ],
)
def test_joining_is_for_classes_that_say_so(
    open_model: OpenModel, source: str, options: dict[str, Any], is_joined: bool
) -> None:
    served = opened(open_model, source, **options)
    ask_all(served, {"inputs": [1]}, {"inputs": [2]})
    assert served.server.calls == ([[2, 3]] if is_joined else [[2], [3]])


def test_requests_with_paths_into_their_bodies_are_not_joined(open_model: OpenModel) -> None:
    served = opened(open_model, input_path="a")
    replies = ask_all(served, {"a": {"inputs": [1]}}, {"a": {"inputs": [2]}})
    assert [reply.outputs for reply in replies] == [[4], [6]]
    assert served.server.calls == [[2], [3]]


def test_bodies_of_a_batch_have_the_functions_default_content_type(open_model: OpenModel) -> None:
    served = opened(open_model, default_content_type="application/json")
    wrong, right = served.send(
        item("infer", b"xx", content_type=b""), item("infer", {"inputs": [1]}, content_type=b"")
    )
    assert wrong.text.startswith("failed to json decode event, ")
    assert right.outputs == [4]
