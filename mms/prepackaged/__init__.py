"""Servers for saved models: classes of Seldon's component contract that need no code from the user.

This file imports none of them: a server's class is looked up in the worker that runs it, and its library loaded there,
nowhere else.
"""

from __future__ import annotations

from typing import Any

from mms.lazy_names import lazy_name

#: Attribute of this package -> where the class is.
_CLASSES = {
    "sklearn": "mms.prepackaged.sklearn_server:SklearnServer",
    "xgboost": "mms.prepackaged.xgboost_server:XgboostServer",
    "onnx": "mms.prepackaged.onnx_server:OnnxServer",
    "pytorch": "mms.prepackaged.pytorch_server:PytorchServer",
    "tensorflow": "mms.prepackaged.tensorflow_server:TensorflowServer",
    "mlflow": "mms.prepackaged.mlflow_server:MlflowServer",
}
#: Name -> handler. The names in capitals are the `implementation` names of Seldon's inference graphs.
PREPACKAGED: dict[str, str] = {name: f"{__name__}:{name}" for name in _CLASSES} | {
    "SKLEARN_SERVER": f"{__name__}:sklearn",
    "XGBOOST_SERVER": f"{__name__}:xgboost",
    "MLFLOW_SERVER": f"{__name__}:mlflow",
    "TENSORFLOW_SERVER": f"{__name__}:tensorflow",
}


def __getattr__(name: str) -> Any:
    """Return the class of a server, such as `mms.prepackaged.sklearn`."""
    return lazy_name(__name__, name, _CLASSES)
