"""Servers of saved models: pickled estimators, ONNX and Hugging Face. Their libraries are imported when they load."""

from __future__ import annotations

from typing import Any

from mms.interfaces.mlrun.model.model_server import V2ModelServer


class PickleModelServer(V2ModelServer):
    """An estimator that cloudpickle, or pickle, wrote: of scikit-learn, XGBoost or LightGBM."""

    def load(self) -> None:
        """Load the model's file. Raises ValueError where there is none, and what unpickling raises."""
        from importlib import import_module

        try:
            # Pickles of classes and functions that a script defined need it to be there.
            pickling = import_module("cloudpickle")
        except ImportError:
            pickling = import_module("pickle")

        file, _ = self.get_model(".pkl")
        if file is None:
            raise ValueError(f"model {self.name} has no model_path to be loaded from")
        with open(file, "rb") as source:
            self.model = pickling.load(source)

    def predict(self, request: dict[str, Any]) -> list[Any]:
        """Predict of `inputs`: rows, or one dict of columns in a list."""
        inputs = request["inputs"]
        table: Any
        if inputs and isinstance(inputs[0], dict):
            from importlib import import_module

            table = import_module("pandas").DataFrame(inputs[0])
        else:
            # Here, as scripts that import MLRun's names need no numpy.
            from mms.tensors.lists import array_of_lists

            table = array_of_lists(inputs)
        outputs = self.model.predict(table)
        return outputs.tolist() if hasattr(outputs, "tolist") else list(outputs)

    def explain(self, request: dict[str, Any]) -> str:
        return f"A model server named '{self.name}'"


class ONNXModelServer(V2ModelServer):
    """`execution_providers`: names of ONNX Runtime's, or (name, options); without them those that there are."""

    def __init__(
        self,
        context: Any = None,
        name: str | None = None,
        model: Any = None,
        model_path: str | None = None,
        execution_providers: list[Any] | None = None,
        protocol: str | None = None,
        **class_args: Any,
    ) -> None:
        super().__init__(context, name, model_path, None, protocol, **class_args)
        self._given = model
        self._execution_providers = execution_providers
        self._session: Any = None

    def load(self) -> None:
        """Load the model's file. Raises ValueError where there is none, and what ONNX Runtime raises."""
        import onnxruntime

        if self._given is not None:
            source = self._given.SerializeToString()
        else:
            source, _ = self.get_model(".onnx")
            if source is None:
                raise ValueError(f"model {self.name} has no model_path to be loaded from")
        providers = self._execution_providers or onnxruntime.get_available_providers()
        self._session = onnxruntime.InferenceSession(source, providers=providers)
        self.model = self._given or self._session

    def predict(self, request: dict[str, Any]) -> Any:
        """Predict of `inputs`: one array for each of the model's inputs, of the type that it takes."""
        import numpy as np

        wanted = self._session.get_inputs()
        if len(request["inputs"]) != len(wanted):
            raise ValueError(
                f"the model takes {len(wanted)} inputs ({', '.join(i.name for i in wanted)}), "
                f"not {len(request['inputs'])}"
            )
        feed = {
            item.name: np.asarray(given, dtype=_TYPES.get(item.type))
            for item, given in zip(wanted, request["inputs"], strict=True)
        }
        return self._session.run(None, feed)

    def explain(self, request: dict[str, Any]) -> str:
        return f"The model server named '{self.name}'"


class HuggingFaceModelServer(V2ModelServer):
    """A pipeline of the package transformers, for a `task`, of a model of its hub or of one in a folder."""

    _CLASS_NAME = "mlrun.frameworks.huggingface.HuggingFaceModelServer"

    def __init__(
        self,
        context: Any = None,
        name: str | None = None,
        task: str | None = None,
        model_path: str | None = None,
        model_name: str | None = None,
        model_class: str | None = None,
        tokenizer_name: str | None = None,
        tokenizer_class: str | None = None,
        framework: str | None = None,
        **class_args: Any,
    ) -> None:
        """`model_name`, `tokenizer_name`: as transformers has them. `model_class`, `tokenizer_class`: names of its
        classes, such as AutoTokenizer; without them the pipeline chooses. `framework`: `pt` or `tf`. `model_path` is
        not used, as in MLRun.
        """
        super().__init__(context, name, model_path, **class_args)
        self.task = task
        self.model_name = model_name
        self.tokenizer: Any = None
        self.tokenizer_name = tokenizer_name
        self.model_class = model_class
        self.tokenizer_class = tokenizer_class
        self.framework = framework
        self.pipe: Any = None

    def load(self) -> None:
        """Load the pipeline. Raises what transformers raises."""
        from importlib import import_module

        transformers = import_module("transformers")
        if self.model_class:
            self.model = getattr(transformers, self.model_class).from_pretrained(self.model_name)
        if self.tokenizer_class:
            tokenizers = getattr(transformers, self.tokenizer_class)
            self.tokenizer = tokenizers.from_pretrained(self.tokenizer_name)
        options = {"framework": self.framework} if self.framework else {}
        self.pipe = transformers.pipeline(
            task=self.task, model=self.model or self.model_name, tokenizer=self.tokenizer, **options
        )

    def predict(self, request: dict[str, Any]) -> Any:
        """Return the first result of each of `inputs`: what the pipeline takes, or dicts of its arguments."""
        inputs = request["inputs"]
        if inputs and isinstance(inputs[0], dict):
            results = [self.pipe(**arguments) for arguments in inputs]
        else:
            results = self.pipe(inputs)
        if all(isinstance(result, list) for result in results):
            results = [result[0] for result in results]
        return results

    def explain(self, request: dict[str, Any]) -> str:
        return f"The '{self.model_name}' model serving function named '{self.name}"


#: ONNX's names of types -> numpy's.
_TYPES = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(float16)": "float16",
    "tensor(int64)": "int64",
    "tensor(int32)": "int32",
    "tensor(int16)": "int16",
    "tensor(int8)": "int8",
    "tensor(uint8)": "uint8",
    "tensor(bool)": "bool",
}
