"""Components with hooks in every form that Seldon's contract allows, and some that it answers with an error.

They run in Seldon's wrapper and in ours, so they know nothing of either but the package seldon_core.
"""

from __future__ import annotations

import functools

import flask
import numpy as np
from seldon_core.flask_utils import SeldonMicroserviceException
from seldon_core.proto import prediction_pb2
from seldon_core.user_model import SeldonComponent, SeldonNotImplementedError, SeldonResponse


def _is_proto(message):
    return not isinstance(message, dict | list)


class Nothing:
    pass


class OnlyBase(SeldonComponent):
    pass


class WithMeta:
    def predict(self, X, names, meta):
        return {"names": list(names), "meta": meta}

    transform_input = predict
    transform_output = predict


class WithDefaults:
    def predict(self, features, names=[], meta=[]):  # noqa: B006
        return {"meta": meta}


class WithKeywords:
    def predict(self, X, names, **kwargs):
        return kwargs

    def route(self, *args, **kwargs):
        return len(args) + 10 * len(kwargs)


class MetaAsNames:
    def predict(self, X, meta):
        return {"second": list(meta)}


class Static:
    @staticmethod
    def predict(X, names, meta=None):
        return X

    @classmethod
    def transform_input(cls, X, names):
        return [cls.__name__]


class Partial:
    def __init__(self):
        self.predict = functools.partial(self._predict, 2)

    def _predict(self, factor, X, names):
        return X * factor


class Decorated:
    def _count(function):
        @functools.wraps(function)
        def counting(*args, **kwargs):
            return function(*args, **kwargs)

        return counting

    @_count
    def predict(self, X, names):
        return X

    @_count
    def transform_input(self, X, names, meta=None):
        return {"meta": meta}


class NotImplementedByItself:
    """What a component says is not implemented is answered as if it were absent."""

    def _refuse(self, *args, **kwargs):
        raise SeldonNotImplementedError("not here")

    predict = _refuse
    predict_raw = _refuse
    transform_input = _refuse
    transform_output_raw = _refuse
    route = _refuse
    aggregate = _refuse
    aggregate_raw = _refuse
    send_feedback = _refuse
    send_feedback_raw = _refuse
    tags = _refuse
    metrics = _refuse
    class_names = _refuse
    health_status = _refuse
    health_status_raw = _refuse
    init_metadata = _refuse


class Legacy:
    def predict_rest(self, request):
        return {"rest": request}

    def predict_grpc(self, request):
        return prediction_pb2.SeldonMessage(strData="grpc")

    def predict(self, X, names):
        return "typed"

    def transform_input_grpc(self, request):
        return {"strData": "a dict"} if not _is_proto(request) else request

    def transform_output_rest(self, request):
        return request

    def route_rest(self, request):
        return request if _is_proto(request) else {"data": {"ndarray": [[2]]}}

    def aggregate_rest(self, request):
        return prediction_pb2.SeldonMessage(strData="all") if _is_proto(request) else request

    def send_feedback_rest(self, feedback):
        return {"strData": feedback}

    def tags(self):
        return {"never": "seen"}


class LegacyWithoutAnswer:
    def predict_rest(self, request):
        return None

    def send_feedback_grpc(self, feedback):
        return None


class Raw:
    """Gives messages back with a metric, as protobuf or as JSON."""

    def predict_raw(self, message):
        if _is_proto(message):
            metric = message.meta.metrics.add()
            metric.key = "raw"
            metric.value = 2
            return message
        return {**message, "meta": {"metrics": [{"key": "raw", "type": "GAUGE", "value": 2}]}}

    transform_input_raw = predict_raw

    def route_raw(self, message):
        return message

    def aggregate_raw(self, messages):
        return messages.seldonMessages[0] if _is_proto(messages) else messages

    def send_feedback_raw(self, feedback):
        return prediction_pb2.SeldonMessage(strData=f"{feedback.reward:.3f}")

    def tags(self):
        return {"never": "seen"}


class RawOfTheOtherKind:
    def predict_raw(self, message):
        if _is_proto(message):
            return {"strData": "a dict"}
        return prediction_pb2.SeldonMessage(strData="a message")

    def send_feedback_raw(self, feedback):
        return {"strData": "a dict"}


class Status:
    def predict_raw(self, message):
        return {"status": {"code": 409, "info": "mine"}, "meta": {}}

    transform_input_raw = predict_raw

    def health_status_raw(self):
        return {"status": {"code": 409}}


class Tagged:
    class_names = ["x", "y"]

    def predict(self, X, names):
        return X

    transform_input = predict
    transform_output = predict

    def route(self, X, names):
        return 1

    def aggregate(self, Xs, names):
        return Xs[-1]

    def send_feedback(self, features, names, reward, truth, routing):
        return [reward, -1 if routing is None else routing, len(truth)]

    def health_status(self):
        return [0.5]

    def tags(self):
        return {"own": [1, {"a": None}], "shared": "own"}

    def metrics(self):
        return [
            {"type": "COUNTER", "key": "c", "value": 1},
            {"type": "GAUGE", "key": "g", "value": 1.5, "tags": {"label": "b"}},
            {"type": "TIMER", "key": "t", "value": 20.2},
        ]


class Response(Tagged):
    def _response(self, *args, **kwargs):
        return SeldonResponse(
            data=[[1.5]],
            tags={"runtime": 1, "shared": "runtime"},
            metrics=[{"type": "GAUGE", "key": "r", "value": 42}],
        )

    predict = _response
    transform_input = _response
    transform_output = _response
    aggregate = _response
    send_feedback = _response
    health_status = _response

    def route(self, X, names):
        return SeldonResponse(3, tags={"runtime": 1})


class BareResponse:
    def predict(self, X, names):
        return SeldonResponse(X)


def _with_metrics(value):
    return lambda self: value


class NoListOfMetrics(Tagged):
    metrics = _with_metrics(({"type": "COUNTER", "key": "c", "value": 1},))


class UnknownMetric(Tagged):
    metrics = _with_metrics([{"type": "RATE", "key": "c", "value": 1}])


class MetricWithoutKey(Tagged):
    metrics = _with_metrics([{"type": "COUNTER", "value": 1}])


class MetricOfText(Tagged):
    metrics = _with_metrics([{"type": "COUNTER", "key": "c", "value": "1"}])


class BadRuntimeMetric:
    def predict(self, X, names):
        return SeldonResponse(X, metrics=[{"type": "RATE", "key": "c", "value": 1}])


class TagsAreNone(Tagged):
    def tags(self):
        return None


class TagsAreADict:
    tags = {"a": 1}

    def predict(self, X, names):
        return X


class Raising:
    def predict(self, X, names):
        raise SeldonMicroserviceException("mine", status_code=403, reason="MINE")

    def transform_input(self, X, names):
        raise ValueError("an ordinary error")

    def transform_output(self, X, names):
        raise SeldonMicroserviceException("plain")

    def route(self, X, names):
        raise KeyError("gone")

    def aggregate(self, Xs, names):
        raise SeldonMicroserviceException("teapot", 418)

    def send_feedback(self, features, names, reward, truth, routing=None):
        raise RuntimeError("no feedback")

    def health_status(self):
        raise RuntimeError("ill")


class RaisingInTags(Tagged):
    def tags(self):
        raise RuntimeError("no tags")


class Odd:
    def predict(self, X, names):
        return None

    def transform_input(self, X, names):
        return (1, 2)

    def transform_output(self, X, names):
        return np.float64(1.5)

    def route(self, X, names):
        return np.int64(1)

    def health_status(self):
        return {"is": "well"}


class RouteIsTrue:
    def route(self, X, names):
        return True


class NewRoute:
    def route(self, X, names, meta=None):
        return 0 if meta is None else 1


class NamesMethod:
    def class_names(self):
        return ("only one",)

    def predict(self, X, names):
        return X


class FeedbackWithoutRouting:
    def send_feedback(self, features, names, reward, truth):
        return None


class FeedbackInOldOrder:
    def send_feedback(self, features, feature_names, routing, reward, truth):
        return None


class UserError(Exception):
    status_code = 404

    def __init__(self, message, code, status):
        super().__init__()
        self.message = message
        self.status_code = status
        self.code = code

    def to_dict(self):
        return {
            "status": {"status": self.status_code, "message": self.message, "app_code": self.code}
        }


class OwnHandler:
    model_error_handler = flask.Blueprint("error_handlers", __name__)

    @model_error_handler.app_errorhandler(UserError)
    def handle(error):
        response = flask.jsonify(error.to_dict())
        response.status_code = error.status_code
        return response

    @model_error_handler.app_errorhandler(LookupError)
    def handle_lookup(error):
        return f"{flask.request.path}: {error}", 404, {"X-Mine": "1"}

    @model_error_handler.app_errorhandler(Exception)
    def handle_all(error):
        return "never asked", 299

    @model_error_handler.app_errorhandler(SeldonMicroserviceException)
    def handle_seldon(error):
        return "never asked", 299

    def predict(self, X, names, **kwargs):
        raise UserError("text", 1402, 402)

    def transform_input(self, X, names):
        raise KeyError("key")

    def transform_output(self, X, names):
        raise ValueError("not handled")

    def route_rest(self, request):
        raise UserError("in rest", 1402, 402)

    def aggregate(self, Xs, names):
        raise SeldonMicroserviceException("not handled either")


class Metadata:
    def init_metadata(self):
        return {"name": "mine", "versions": ["1"], "inputs": [{"messagetype": "strData"}]}


class NoMetadata:
    def init_metadata(self):
        return ["a list"]


class BadMetadata:
    def init_metadata(self):
        return {"name": 5}


COMPONENTS = {
    name: value
    for name, value in list(globals().items())
    if isinstance(value, type) and value.__module__ == __name__ and name != "UserError"
}
