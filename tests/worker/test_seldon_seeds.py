"""The classes that Seldon's and PrimeHub's documents print, as they stand there, in real workers.

What a document leaves to its reader (an import, a file of TensorFlow's) is put beside the class.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mms.wire import Loaded, ModelOperation

from .front import Answer, Front, Worker

MESSAGE = {"data": {"names": ["a", "b"], "ndarray": [[1, 2]]}}

Start = Callable[..., "Served"]


class Served:
    def __init__(self, worker: Worker, loaded: Loaded) -> None:
        self.worker = worker
        self.loaded = loaded

    def ask(self, operation: str, content: Any) -> Answer:
        return self.worker.predict(
            json.dumps(content).encode(),
            b"application/json",
            headers=b"Host\nh",
            operation=ModelOperation(operation),
        )

    def result(self, content: Any = MESSAGE, operation: str = "predict") -> Any:
        answer = self.ask(operation, content)
        assert (answer.status, answer.is_failed) == (200, False), answer
        return json.loads(answer.body)


@pytest.fixture
def serve(front: Front, tmp_path: Path) -> Start:
    """Starts a worker with `source` as `<handler>.py`; `files` lie beside it."""

    def start(
        source: str,
        handler: str,
        files: dict[str, str] | None = None,
        is_forked: bool = True,
        **members: Any,
    ) -> Served:
        module = handler.partition(":")[0]
        for name, content in {f"{module}.py": source, **(files or {})}.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(content)
        worker = front.start_forked() if is_forked else front.start()
        loaded = worker.load(
            model_name="m",
            model_version=None,
            model_dir=str(tmp_path),
            handler=handler,
            **members,
        )
        assert loaded.code == 200, loaded
        assert loaded.interface == "seldon"
        return Served(worker, loaded)

    return start


def test_the_identity_model_answers_with_what_it_gets(serve: Start, front: Front) -> None:
    source = '''
class MyModel(object):
    """
    Model template. You can load your model parameters in __init__ from a location accessible at runtime
    """

    def __init__(self):
        """
        Add any initialization parameters. These will be passed at runtime from the graph definition parameters defined in your seldondeployment kubernetes resource manifest.
        """
        print("Initializing")

    def predict(self,X,features_names):
        """
        Return a prediction.

        Parameters
        ----------
        X : array-like
        feature_names : array of feature names (optional)
        """
        print("Predict called - will run identity function")
        return X
'''  # noqa: E501
    model = serve(source, "MyModel", is_forked=False)
    assert model.result() == {"data": {"names": ["t:0", "t:1"], "ndarray": [[1, 2]]}, "meta": {}}
    model.worker.drain()
    assert front.output().splitlines() == [
        "Initializing",
        "Predict called - will run identity function",
    ]


def test_the_combiner_averages_its_inputs(serve: Start) -> None:
    source = """import logging
import numpy as np
logger = logging.getLogger(__name__)

class ImageNetCombiner(object):

    def aggregate(self, Xs, features_names):
        return (np.reshape(Xs[0],(1,-1)) + np.reshape(Xs[1], (1,-1)))/2.0
"""
    messages = [{"data": {"ndarray": [[1, 2]]}}, {"data": {"ndarray": [[3, 5]]}}]
    answer = serve(source, "ImageNetCombiner").result(messages, "aggregate")
    assert answer == {"data": {"names": ["t:0", "t:1"], "ndarray": [[2.0, 3.5]]}, "meta": {}}


MODEL_WITH_METRICS = """
class ModelWithMetrics(object):

    def __init__(self):
        print("Initialising")

    def predict(self,X,features_names):
        print("Predict called")
        return X

    def metrics(self):
        return [
            {"type":"COUNTER","key":"mycounter","value":1}, # a counter which will increase by the given value
            {"type":"GAUGE","key":"mygauge","value":100}, # a gauge which will be set to given value
            {"type":"TIMER","key":"mytimer","value":20.2}, # a timer which will add sum and count metrics - assumed millisecs
            ]
"""  # noqa: E501


def test_metrics_are_in_the_answer_and_are_sent_to_the_server(serve: Start) -> None:
    from mms.wire import METRIC, RESULT, Metric, decode_result

    from .front import Request

    model = serve(MODEL_WITH_METRICS, "ModelWithMetrics")
    model.worker.send_batches([Request(json.dumps(MESSAGE).encode(), b"application/json")])
    metric = Metric.from_payload(model.worker.work.expect(METRIC)[2])
    assert metric.lines == []
    assert [(one["type"], one["name"], one["value"]) for one in metric.series] == [
        ("counter", "mycounter", 1.0),
        ("gauge", "mygauge", 100.0),
        ("histogram", "mytimer", 0.0202),
    ]
    assert {one["labels"]["method"] for one in metric.series} == {"predict"}
    frame = model.worker.work.expect(RESULT)
    ((_, _, status, _, _, body),) = decode_result(frame[2], frame[3])[2]
    assert status == 200
    assert json.loads(bytes(body))["meta"]["metrics"] == [
        {"type": "COUNTER", "key": "mycounter", "value": 1},
        {"type": "GAUGE", "key": "mygauge", "value": 100},
        {"type": "TIMER", "key": "mytimer", "value": 20.2},
    ]


def test_tags_that_take_the_input_are_in_the_answer(serve: Start) -> None:
    source = """
class ModelWithMetrics(object):

    def predict(self,X,features_names):
        return X

    def tags(self,X):
        return {"system":"production"}
"""
    answer = serve(source, "ModelWithMetrics").result()
    assert answer["meta"] == {"tags": {"system": "production"}}


def test_an_exception_of_the_users_own_is_answered_by_its_handler(serve: Start) -> None:
    # The document has the exception below the class that uses it, and writes Object.
    source = '''import flask
from flask import jsonify

Object = object

"""
User Defined Exception
"""
class UserCustomException(Exception):

    status_code = 404

    def __init__(self, message, application_error_code,http_status_code):
        Exception.__init__(self)
        self.message = message
        if http_status_code is not None:
            self.status_code = http_status_code
        self.application_error_code = application_error_code

    def to_dict(self):
        rv = {"status": {"status": self.status_code, "message": self.message,
                         "app_code": self.application_error_code}}
        return rv

"""
Model Template
"""
class MyModel(Object):

    """
    The field is used to register custom exceptions
    """
    model_error_handler = flask.Blueprint('error_handlers', __name__)

    """
    Register the handler for an exception
    """
    @model_error_handler.app_errorhandler(UserCustomException)
    def handleCustomError(error):
        response = jsonify(error.to_dict())
        response.status_code = error.status_code
        return response

    def __init__(self, metrics_ok=True, ret_nparray=False, ret_meta=False):
        pass

    def predict(self, X, features_names, **kwargs):
        raise UserCustomException('Test-Error-Msg',1402,402)
        return X
'''
    answer = serve(source, "MyModel").ask("predict", MESSAGE)
    assert (answer.status, answer.is_failed) == (402, False)
    expected = {"status": 402, "message": "Test-Error-Msg", "app_code": 1402}
    assert json.loads(answer.body) == {"status": expected}
    assert "Content-Type: application/json" in answer.headers


DEEP_MNIST = """import tensorflow as tf
import numpy as np
import os

class DeepMnist(object):
    def __init__(self):
        self.loaded = False
        self.class_names = ["class:{}".format(str(i)) for i in range(10)]

    def load(self):
        print("Loading model",os.getpid())
        self.sess = tf.Session()
        saver = tf.train.import_meta_graph("model/deep_mnist_model.meta")
        saver.restore(self.sess,tf.train.latest_checkpoint("./model/"))
        graph = tf.get_default_graph()
        self.x = graph.get_tensor_by_name("x:0")
        self.y = graph.get_tensor_by_name("y:0")
        self.loaded = True
        print("Loaded model")

    def predict(self,X,feature_names):
        if not self.loaded:
            self.load()
        predictions = self.sess.run(self.y,feed_dict={self.x:X})
        return predictions.astype(np.float64)
"""
STAND_IN = """
import os
import numpy as np


class Session:
    def run(self, wanted, feed_dict):
        assert wanted == "y:0"
        return np.tile(np.float32(np.arange(10) / 10), (len(feed_dict["x:0"]), 1))


class train:
    @staticmethod
    def import_meta_graph(path):
        assert os.path.isfile(path), path
        return train

    @staticmethod
    def restore(session, checkpoint):
        assert isinstance(session, Session)

    @staticmethod
    def latest_checkpoint(folder):
        return folder


class get_default_graph:
    def get_tensor_by_name(self, name):
        return name
"""


def test_a_model_loads_its_session_once_before_the_first_prediction(
    serve: Start, front: Front
) -> None:
    files = {"tensorflow.py": STAND_IN, "model/deep_mnist_model.meta": ""}
    model = serve(DEEP_MNIST, "DeepMnist", files, is_forked=False)
    for _ in range(2):
        answer = model.result({"data": {"tensor": {"shape": [2, 784], "values": [0] * 1568}}})
    assert answer["data"]["names"] == [f"class:{i}" for i in range(10)]
    assert answer["data"]["tensor"]["shape"] == [2, 10]
    assert answer["data"]["tensor"]["values"][:3] == pytest.approx([0, 0.1, 0.2])
    model.worker.drain()
    assert front.output().count("Loaded model") == 1


SKELETON = """class Model:
    def __init__(self, model_uri=None):
        # initialization
        # 1. configure model path from the model_uri if needed
        self.model_uri = model_uri
        self.model = None

        # 2. initialize the predictor
        # you might want to enable GPU if it is not enabled automatically

        # 3. invoke load method to preload the model
        self.ready = False
        self.load()

    def load(self):
        # load and create a model
        # if model_uri was given, load data and create model instance from it
        if self.ready:
            return

        # build model
        # 1. set to self.model
        # 2. make set.ready = True
        self.ready = True

    def predict(self, X, feature_names = None, meta = None):
        # execute self.model.predict(X)
        print(X, feature_names, meta)
        return "Hello Model"
"""


@pytest.mark.parametrize("interface", ["auto", "seldon"])
def test_primehubs_skeleton_says_hello(serve: Start, interface: str) -> None:
    model = serve(SKELETON, "Model", interface=interface)
    assert model.result() == {"meta": {}, "strData": "Hello Model"}


def test_primehubs_skeleton_gets_the_path_of_its_model(serve: Start) -> None:
    source = SKELETON.replace('return "Hello Model"', "return str(self.model_uri)")
    model = serve(source, "Model", model_files="/mnt/models")
    assert model.result()["strData"] == "/mnt/models"


def test_a_router_learns_from_feedback(serve: Start) -> None:
    """The epsilon-greedy router of Seldon's examples, as its description has it."""
    source = """
import random
import numpy as np
from seldon_core.user_model import SeldonComponent


class EpsilonGreedy(SeldonComponent):
    def __init__(self, n_branches=None, epsilon=0.1, best_branch=None, seed=None):
        self.n_branches = int(n_branches)
        self.epsilon = epsilon
        self.best_branch = 0 if best_branch is None else best_branch
        self.random = random.Random(seed)
        self.success = np.zeros(self.n_branches)
        self.tries = np.zeros(self.n_branches)

    def route(self, features, feature_names):
        if self.random.random() > self.epsilon:
            return self.best_branch
        return self.random.choice([b for b in range(self.n_branches) if b != self.best_branch])

    def send_feedback(self, features, feature_names, reward, truth, routing=None):
        self.tries[routing] += len(features)
        self.success[routing] += int(reward * len(features))
        values = self.success / np.maximum(self.tries, 1)
        self.best_branch = int(np.argmax(values))

    def tags(self):
        return {"best": self.best_branch}
"""
    parameters = [
        {"name": "n_branches", "value": "2", "type": "INT"},
        {"name": "epsilon", "value": "0", "type": "FLOAT"},
    ]
    model = serve(
        source,
        "EpsilonGreedy",
        parameters=parameters,
        of_interfaces={"seldon": {"unit_id": "eg"}},
    )
    assert model.result(operation="route")["data"]["ndarray"] == [[0]]
    feedback = {
        "request": {"data": {"ndarray": [[1], [2]]}},
        "response": {"meta": {"routing": {"eg": 1}}},
        "reward": 1.0,
    }
    assert model.result(feedback, "send-feedback")["meta"]["tags"] == {"best": 1.0}
    answer = model.result(operation="route")
    assert answer["data"] == {"names": ["t:0"], "ndarray": [[1]]}
