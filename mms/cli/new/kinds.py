"""What `mms new` writes for each kind of model."""

from __future__ import annotations

import shlex
from typing import Final, NamedTuple


class Kind(NamedTuple):
    """A model in the words of one interface.

    `sample`: a request in JSON; `answer`: what its answer contains; `page`: of the documentation; `handler`: where the
    name of the file does not tell it.
    """

    code_file: str
    code: str
    test_file: str
    test: str
    sample: str
    answer: str
    page: str
    sample_file: str = "sample_request.json"
    handler: str = ""

    def files(self, title: str, folder: str) -> dict[str, str]:
        """Return the text of each file. `title`: the model's name; `folder`: as the user has named it."""
        readme = _README.format(
            title=title,
            folder=shlex.quote(folder),
            code_file=self.code_file,
            sample_file=self.sample_file,
            sample=self.sample,
            handler=self.handler or self.code_file.removesuffix(".py"),
            page=self.page,
        )
        return {
            self.code_file: self.code,
            self.test_file: self.test,
            self.sample_file: self.sample + "\n",
            "README.md": readme,
        }


_README: Final = """# {title}

`{code_file}` is the model. Serve it, and have it loaded anew with each change:

```sh
mms serve {folder} --reload
```

Ask it, from another shell:

```sh
mms predict {title} -f {folder}/{sample_file}
curl http://127.0.0.1:8080/predictions/{title} -H "Content-Type: application/json" -d '{sample}'
```

`{sample_file}` is a request that a new version of the model must answer before it takes the place of the former one.

Test it without a server, with `pip install pytest`:

```sh
pytest {folder}
```

Pack it, for a server that others use:

```sh
mkdir -p store
model-archiver --model-name {title} --model-path {folder} --handler {handler} --export-path store
multi-model-server --start --model-store store --models {title}.mar
```

What the code may do: {page}
"""

_DOCS: Final = "https://github.com/marserve/marserve/blob/main/docs"

_MMS: Final = Kind(
    code_file="service.py",
    code='''"""The model: loaded once in each worker, then called with batches of requests."""


class Service:
    def initialize(self, context):
        """Load what requests need. Files of this folder are in context.system_properties["model_dir"]."""
        self.greeting = "Hello"

    def handle(self, data, context):
        """Return as many answers as there are requests, in their order."""
        return [self.answer(item["body"]) for item in data]

    def answer(self, body):
        """Answer one request. `body` is parsed JSON, text or bytes, as its Content-Type says."""
        return {"message": f"{self.greeting}, {body['name']}!"}
''',
    test_file="test_service.py",
    test="""from service import Service


def test_it_greets():
    service = Service()
    service.initialize(context=None)
    answers = service.handle([{"body": {"name": "Ada"}}, {"body": {"name": "Bo"}}], context=None)
    assert answers == [{"message": "Hello, Ada!"}, {"message": "Hello, Bo!"}]
""",
    sample='{"name": "Ada"}',
    answer='{"message": "Hello, Ada!"}',
    page=f"{_DOCS}/handler-guide.md",
)
_SELDON: Final = Kind(
    code_file="Model.py",
    code='''"""The model: a component of Seldon's contract."""

import numpy as np


class Model:
    def __init__(self):
        self.weights = None

    def load(self):
        """Load what requests need; called once in each worker."""
        self.weights = np.array([0.5, 0.25])

    def predict(self, X, names=None):
        """Return a value for each row of X, an array of what the request has in data.ndarray."""
        return X @ self.weights
''',
    test_file="test_model.py",
    test="""import numpy as np
from Model import Model


def test_a_row_is_weighed():
    model = Model()
    model.load()
    assert model.predict(np.array([[2, 4], [0, 0]])).tolist() == [2.0, 0.0]
""",
    sample='{"data": {"ndarray": [[2, 4]]}}',
    answer="[2.0]",
    page=f"{_DOCS}/seldon.md",
)
_MLRUN: Final = Kind(
    code_file="model.py",
    code='''"""The model: a V2ModelServer of MLRun's."""

import mlrun


class Model(mlrun.serving.V2ModelServer):
    def load(self):
        """Load what requests need; called once in each worker. get_model() finds the model's files."""
        self.factor = 2

    def predict(self, body):
        """Return an output for each of the inputs."""
        return [value * self.factor for value in body["inputs"]]
''',
    test_file="test_model.py",
    test="""from mms.interfaces.mlrun import use_mlrun_shim

use_mlrun_shim()  # what `import mlrun` is where MLRun is not installed

from model import Model  # noqa: E402


def test_inputs_are_doubled():
    model = Model(name="test", model_path="")
    model.load()
    assert model.predict({"inputs": [1, 2.5]}) == [2, 5.0]
""",
    sample='{"inputs": [1, 2.5]}',
    answer='"outputs":[2,5.0]',
    page=f"{_DOCS}/mlrun.md",
    handler="model:Model",
)
_OPEN_INFERENCE: Final = Kind(
    code_file="model.py",
    code='''"""The model: tensors in, tensors out, for clients of the Open Inference Protocol."""

import numpy as np


class Model:
    max_batch_size = 64  # rows in one call

    def load(self):
        """Load what requests need; called once in each worker."""
        self.weights = np.array([0.5, 0.25], np.float32)

    def predict(self, inputs, parameters):
        """Return arrays by the names of outputs. `inputs` has arrays by the names of inputs."""
        return {"score": inputs["x"] @ self.weights}
''',
    test_file="test_model.py",
    test="""import numpy as np
from model import Model


def test_a_row_is_weighed():
    model = Model()
    model.load()
    answer = model.predict({"x": np.array([[2, 4]], np.float32)}, {})
    assert answer["score"].tolist() == [2.0]
""",
    sample='{"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [[2, 4]]}]}',
    answer='"data":[2.0]',
    page=f"{_DOCS}/open-inference.md",
    handler="model:Model",
)

_TORCHSERVE: Final = Kind(
    code_file="handler.py",
    code='''"""The model: a handler of TorchServe's."""

from ts.torch_handler.base_handler import BaseHandler


class Handler(BaseHandler):
    def initialize(self, context):
        """Load what requests need. Files of this folder are in context.system_properties["model_dir"].

        Without this method BaseHandler loads the model of PyTorch that `torch-model-archiver` has packed.
        """
        self.weights = [0.5, 0.25]
        self.initialized = True

    def preprocess(self, data):
        """Return what `inference` gets. `data` has a dict for each request: its body is parsed JSON, or bytes."""
        return [request["body"]["values"] for request in data]

    def inference(self, rows):
        return [sum(x * y for x, y in zip(row, self.weights)) for row in rows]

    def postprocess(self, scores):
        """Return as many answers as there are requests, in their order."""
        return [{"score": score} for score in scores]
''',
    test_file="test_handler.py",
    test="""from mms.interfaces.torchserve.shim import use_ts_shim

use_ts_shim()  # what `import ts` is where TorchServe is not installed

from handler import Handler  # noqa: E402


def test_values_are_weighed():
    handler = Handler()
    handler.initialize(context=None)
    requests = [{"body": {"values": [2, 4]}}, {"body": {"values": [0, 0]}}]
    scores = handler.inference(handler.preprocess(requests))
    assert handler.postprocess(scores) == [{"score": 2.0}, {"score": 0.0}]
""",
    sample='{"values": [2, 4]}',
    answer='{"score":2.0}',
    page=f"{_DOCS}/migration-from-torchserve.md",
)

#: By the word of the command line.
KINDS: Final = {
    "mms": _MMS,
    "seldon": _SELDON,
    "mlrun": _MLRUN,
    "openinference": _OPEN_INFERENCE,
    "torchserve": _TORCHSERVE,
}
