"""The base of handlers: it loads a model of torch, and runs preprocess, inference and postprocess on each batch."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
import time
from typing import Any

from mms.text.brief import brief

from ..handler_utils.timer import timed
from ..utils.util import (
    check_valid_pt2_backend,
    list_classes_from_module,
    load_label_mapping,
)

logger = logging.getLogger(__name__)

_PROFILES = "/tmp/pytorch_profiler"

#: What code asks of this module: whether a package is there. Found out when it is asked.
_PACKAGES = {
    "PROFILER_AVAILABLE": "torch",
    "PT2_AVAILABLE": "torch",
    "PT230_AVAILABLE": "torch",
    "XLA_AVAILABLE": "torch_xla",
    "ONNX_AVAILABLE": "onnxruntime",
}


def __getattr__(name: str) -> bool:
    if name == "IPEX_AVAILABLE":
        is_wanted = os.environ.get("TS_IPEX_ENABLE", "false") == "true"
        return is_wanted and _is_installed("intel_extension_for_pytorch")
    if name in _PACKAGES:
        return _is_installed(_PACKAGES[name])
    raise AttributeError(f"module {__name__} has no attribute {brief(name)}")


def _is_installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def setup_ort_session(model_pt_path: str, map_location: str | None) -> Any:
    """Return a session of ONNX Runtime with a model, on the GPU where `map_location` is `cuda`."""
    ort = importlib.import_module("onnxruntime")
    providers = ["CPUExecutionProvider"]
    if map_location == "cuda":
        providers.insert(0, "CUDAExecutionProvider")
    return ort.InferenceSession(model_pt_path, providers=providers)


class BaseHandler:
    """A handler of one model. Derived classes override `preprocess`, `inference`, `postprocess`, or `handle` itself."""

    def __init__(self) -> None:
        self.model: Any = None
        self.mapping: dict[str, str] | None = None
        self.device: Any = None
        self.initialized: Any = False
        self.context: Any = None
        self.model_pt_path: str | None = None
        self.manifest: Any = None
        self.map_location: str | None = None
        self.explain = False
        self.target = 0
        self.profiler_args: dict[str, Any] = {}

    def initialize(self, context: Any) -> None:
        """Load the model that the manifest names, and the labels of `index_to_name.json`.

        A `modelFile` has the class of the model, and the serialized file its weights; else the serialized file is one
        of TorchScript (.pt), ONNX (.onnx), or, where `pt2` says so, of an exported and compiled program (.so). Raises
        RuntimeError where there is none of them.
        """
        if context is not None and hasattr(context, "model_yaml_config"):
            self.model_yaml_config = context.model_yaml_config
        properties = context.system_properties
        self.device, self.map_location = _device_of(properties.get("gpu_id"))
        self.manifest = context.manifest
        model_dir = properties.get("model_dir")
        described = self.manifest["model"]
        self.model_pt_path = None
        if described.get("serializedFile"):
            self.model_pt_path = os.path.join(model_dir, described["serializedFile"])
        model_file = described.get("modelFile", "")
        if model_file:
            self.model = self._load_pickled_model(model_dir, model_file, self.model_pt_path)
            self.model.to(self.device)
            self.model.eval()
        else:
            self.model = self._load_serialized(properties.get("gpu_id"))
        self._compile()
        logger.debug("Model file %s loaded successfully", self.model_pt_path)
        self.mapping = load_label_mapping(os.path.join(model_dir, "index_to_name.json"))
        self.initialized = True

    def _load_serialized(self, gpu_id: int | None) -> Any:
        path = self.model_pt_path or ""
        if path.endswith(".pt"):
            model = self._load_torchscript_model(path)
            model.eval()
            return model
        if path.endswith(".onnx"):
            return setup_ort_session(path, self.map_location)
        if path.endswith(".so") and self._use_torch_export_aot_compile():
            if gpu_id is not None and self.map_location == "cuda":
                # What loads it knows no device.
                _torch().cuda.set_device(self.device)
            return self._load_torch_export_aot_compile(path)
        raise RuntimeError("No model weights could be loaded")

    def _load_torch_export_aot_compile(self, model_so_path: str) -> Any:
        return _torch()._export.aot_load(model_so_path, self.map_location)

    def _load_torchscript_model(self, model_pt_path: str) -> Any:
        return _torch().jit.load(model_pt_path, map_location=self.device)

    def _load_pickled_model(
        self, model_dir: str, model_file: str, model_pt_path: str | None
    ) -> Any:
        """Return a model of the only class of a file, with the weights of another. Raises RuntimeError, ValueError."""
        if not os.path.isfile(os.path.join(model_dir, model_file)):
            raise RuntimeError("Missing the model.py file")
        module = importlib.import_module(model_file.split(".")[0])
        classes = list_classes_from_module(module)
        if len(classes) != 1:
            raise ValueError(f"Expected only one class as model definition. {classes}")
        model = classes[0]()
        if model_pt_path:
            state = _torch().load(model_pt_path, map_location=self.device, weights_only=True)
            model.load_state_dict(state)
        return model

    def _use_torch_export_aot_compile(self) -> bool:
        export = self._pt2().get("export")
        return isinstance(export, dict) and export.get("aot_compile") is True

    def _pt2(self) -> dict[str, Any]:
        """Return what `pt2` of `model-config.yaml` says. Raises ValueError where that is neither text nor mapping."""
        said = (getattr(self, "model_yaml_config", None) or {}).get("pt2")
        if said is None:
            return {}
        if isinstance(said, str):
            return {"backend": said}
        if not isinstance(said, dict):
            raise ValueError("pt2 should be str or dict")
        return said

    def _compile(self) -> None:
        """Compile the model as `pt2` says. One that cannot be compiled serves as it is, and the log tells why."""
        said = self._pt2()
        if "compile" in said:
            options = dict(said["compile"])
            if not options.pop("enable", False):
                return
        elif not said or "export" in said:
            return
        else:
            options = dict(said)
        if "backend" in options and not check_valid_pt2_backend(options["backend"]):
            return
        shown = ", ".join(f"{name} {value}" for name, value in options.items())
        try:
            self.model = _torch().compile(self.model, **options)
        except Exception as error:
            logger.warning("Compiling the model with %s has failed: %s", shown, error)
        else:
            logger.info("Compiled model with %s", shown)

    @timed
    def preprocess(self, data: Any) -> Any:
        return _torch().as_tensor(data, device=self.device)

    @timed
    def inference(self, data: Any, *args: Any, **kwargs: Any) -> Any:
        with _torch().inference_mode():
            return self.model(data.to(self.device), *args, **kwargs)

    @timed
    def postprocess(self, data: Any) -> Any:
        return data.tolist()

    def handle(self, data: Any, context: Any) -> Any:
        """Return a result for each request. The metric `HandlerTime` tells how long it took."""
        started_s = time.perf_counter()
        self.context = context
        if os.environ.get("ENABLE_TORCH_PROFILER"):
            if self.manifest is None:
                self.manifest = context.manifest
            output, _ = self._infer_with_profiler(data=data)
        elif self._is_describe():
            output = [self.describe_handle()]
        else:
            prepared = self.preprocess(data)
            if self._is_explain():
                output = self.explain_handle(prepared, data)
            else:
                output = self.postprocess(self.inference(prepared))
        elapsed_ms = round((time.perf_counter() - started_s) * 1000, 2)
        context.metrics.add_time("HandlerTime", elapsed_ms, None, "ms")
        return output

    def _infer_with_profiler(self, data: Any) -> tuple[Any, Any]:
        """Return the results of a batch, and the profile of its stages, which is kept in a file, too."""
        profiler = importlib.import_module("torch.profiler")
        if not self.profiler_args:
            activities = profiler.ProfilerActivity
            self.profiler_args["activities"] = [activities.CPU, activities.CUDA]
            self.profiler_args["record_shapes"] = True
        if "on_trace_ready" not in self.profiler_args:
            folder = os.path.join(_PROFILES, self.manifest["model"].get("modelName", ""))
            self.profiler_args["on_trace_ready"] = profiler.tensorboard_trace_handler(folder)
        with profiler.profile(**self.profiler_args) as profile:
            with profiler.record_function("preprocess"):
                prepared = self.preprocess(data)
            if self._is_explain():
                with profiler.record_function("explain"):
                    output = self.explain_handle(prepared, data)
            else:
                with profiler.record_function("inference"):
                    output = self.inference(prepared)
                with profiler.record_function("postprocess"):
                    output = self.postprocess(output)
        logger.info(profile.key_averages().table(sort_by="cpu_time_total", row_limit=10))
        return output, profile

    def explain_handle(self, data_preprocess: Any, raw_data: Any) -> Any:
        """Return what `get_insights` of the derived class says of the first request, for its `target`, else 0."""
        inputs = None
        target: Any = 0
        row = raw_data[0]
        if isinstance(row, dict):
            inputs = row.get("data") or row.get("body")
            target = row.get("target") or 0
        get_insights: Any = getattr(self, "get_insights", None)
        if get_insights is None:
            raise NotImplementedError(
                f"{type(self).__name__} has no method get_insights: it explains nothing"
            )
        return get_insights(data_preprocess, inputs, target)

    def _is_explain(self) -> bool:
        if self.context and self.context.get_request_header(0, "explain") == "True":
            self.explain = True
            return True
        return False

    def _is_describe(self) -> bool:
        return bool(self.context and self.context.get_request_header(0, "describe") == "True")

    def describe_handle(self) -> Any:
        """Return what `describe` of the model shows besides; nothing, unless a derived class says more."""
        return None

    def get_device(self) -> Any:
        return self.device


def _torch() -> Any:
    """Return torch, which takes seconds to import: not every handler that derives from the base needs it."""
    return importlib.import_module("torch")


def _device_of(gpu_id: int | None) -> tuple[Any, str | None]:
    """Return the device for a worker, and its kind."""
    torch = _torch()
    if gpu_id is not None and torch.cuda.is_available():
        return torch.device(f"cuda:{gpu_id}"), "cuda"
    uses_xpu = os.environ.get("TS_IPEX_GPU_ENABLE", "false") == "true"
    if gpu_id is not None and uses_xpu and torch.xpu.is_available():
        return torch.device(f"xpu:{gpu_id}"), "xpu"
    if gpu_id is not None and torch.backends.mps.is_available():
        return torch.device("mps"), "mps"
    if _is_installed("torch_xla"):
        return importlib.import_module("torch_xla.core.xla_model").xla_device(), None
    return torch.device("cpu"), "cpu"
