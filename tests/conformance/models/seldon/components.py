"""Small Seldon components. Each is asked for one thing that Seldon's wrapper promises."""

import hashlib
import os

import numpy as np

try:
    from seldon_core.flask_utils import SeldonMicroserviceException
    from seldon_core.proto import prediction_pb2
    from seldon_core.user_model import SeldonComponent, SeldonResponse
    from seldon_core.utils import json_to_seldon_message
except ImportError as error:
    raise RuntimeError("a component finds the names of seldon_core") from error


class Identity:
    """Gives back what it gets, under every hook; tells one tag and one metric, and counts its calls."""

    def __init__(self):
        self.rewards = []

    def predict(self, X, features_names):
        return X

    def transform_input(self, X, features_names):
        return X

    def transform_output(self, X, features_names):
        return X

    def aggregate(self, features_list, names_list):
        return features_list[0]

    def route(self, X, features_names):
        return 22

    def send_feedback(self, features, names, reward, truth, routing=None):
        self.rewards.append(reward)
        print(f"feedback {reward} {routing} {os.getpid()}", flush=True)

    def tags(self):
        return {"mytag": 1}

    def metrics(self):
        return [{"type": "COUNTER", "key": "mycounter", "value": 1}]

    def health_status(self):
        return [0.123]

    def init_metadata(self):
        return {
            "name": "identity",
            "versions": ["v1"],
            "platform": "conformance",
            "inputs": [{"messagetype": "tensor", "schema": {"names": ["a"], "shape": [1]}}],
            "outputs": [],
            "custom": {"author": "conformance"},
        }


class Plain:
    """Nothing but the main hook."""

    def predict(self, X, features_names):
        return X * 2


class Inherited(SeldonComponent):
    def predict(self, X, names, meta=None):
        return X * 2


class Legacy:
    def predict_rest(self, request):
        return {"data": {"ndarray": [9, 9]}}

    def transform_input_rest(self, request):
        return {"data": {"ndarray": [9, 9]}}

    def transform_output_rest(self, request):
        return {"data": {"ndarray": [9, 9]}}

    def route_rest(self, request):
        return {"data": {"ndarray": [[1]]}}

    def aggregate_rest(self, requests):
        return {"data": {"ndarray": [9, 9]}}

    def send_feedback_rest(self, feedback):
        return None


class Raw:
    """Reads its input as a message, so that its bytes can be compared."""

    def _checked(self, message):
        proto = json_to_seldon_message(message)
        if proto.WhichOneof("data_oneof") == "binData":
            digest = hashlib.sha256(proto.binData).hexdigest()
            return {"meta": {"puid": proto.meta.puid}, "strData": digest}
        return message

    predict_raw = _checked
    transform_input_raw = _checked
    transform_output_raw = _checked

    def send_feedback_raw(self, feedback):
        return prediction_pb2.SeldonMessage(strData=str(feedback.reward))


class Annotated:
    """Low-level methods as Seldon's documentation prints them."""

    def predict_raw(self, msg: prediction_pb2.SeldonMessage) -> prediction_pb2.SeldonMessage:
        return prediction_pb2.SeldonMessage(strData=msg.strData.upper())

    def aggregate_raw(self, msgs: prediction_pb2.SeldonMessageList) -> prediction_pb2.SeldonMessage:
        return prediction_pb2.SeldonMessage(strData=str(len(msgs.seldonMessages)))


class Status:
    """A raw answer whose status is the HTTP status."""

    def predict_raw(self, message):
        return {"status": {"code": 400, "info": "mine", "status": 1}, "strData": "kept"}


class Array:
    def predict(self, X, names):
        return np.array([1, 2, 3])

    transform_input = predict
    transform_output = predict


class BadMetric(Identity):
    def metrics(self):
        return [{"type": "BAD", "key": "k", "value": 1}]


class Refusing:
    def predict(self, X, names):
        raise SeldonMicroserviceException("foo", status_code=403)

    def transform_input(self, X, names):
        raise ValueError("an ordinary error")


class Keywords:
    def predict(self, X, names, **kwargs):
        return {"meta": kwargs["meta"]}

    def route(self, X, names):
        return 3


class WithoutMetrics:
    def predict(self, X, names):
        return X

    def send_feedback(self, features, names, reward, truth, routing=None):
        return None


class Combiner:
    def aggregate(self, Xs, names):
        return sum(Xs) * 2

    def tags(self):
        return {"mytag": 1}

    def metrics(self):
        return [{"type": "COUNTER", "key": "own", "value": 1}]


class Runtime:
    """Tags and metrics of the component, and of each answer."""

    def tags(self):
        return {"static": "tag", "shared": "not right"}

    def metrics(self):
        return [{"type": "GAUGE", "key": "static_gauge", "value": 100}]

    def predict(self, X, names):
        return SeldonResponse(
            data=X,
            tags={"runtime": "tag", "shared": "right one"},
            metrics=[
                {"type": "GAUGE", "key": "runtime_gauge", "value": 42},
                {"type": "COUNTER", "key": "runtime_counter", "value": 1},
                {"type": "TIMER", "key": "runtime_timer", "value": 20.2},
                {"type": "GAUGE", "key": "tagged_gauge", "value": 7, "tags": {"own": "label"}},
            ],
        )

    transform_input = predict
    transform_output = predict

    def send_feedback(self, features, names, reward, truth, routing=None):
        return None


class Healthy:
    def health_status_raw(self):
        return {"strData": "raw health", "meta": {}}


class BadMetadata(Plain):
    def init_metadata(self):
        return {"name": 5}


class Odd:
    """Metrics and labels that Prometheus has no names for."""

    def predict(self, X, names):
        return X

    def metrics(self):
        return [
            {"type": "COUNTER", "key": "no-name", "value": 1},
            {"type": "COUNTER", "key": "good_name", "value": 1},
        ]


class Crashing:
    """Ends its process when it is told to."""

    def predict(self, X, names):
        if X == "die":
            os._exit(3)
        return X

    def metrics(self):
        return [{"type": "COUNTER", "key": "survivor", "value": 1}]
