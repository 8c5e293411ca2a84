"""Services for MXNet models in archives of MMS's first format. They import without MXNet; using one needs it."""

from __future__ import annotations

import logging
import os
from typing import Any

from mms.model_service.model_service import SingleNodeService, read_signature
from mms.utils.mxnet import mxnet

__all__ = [
    "GluonImperativeBaseService",
    "MXNetBaseService",
    "SingleNodeService",
    "check_input_shape",
]


def check_input_shape(inputs: list[Any], signature: dict[str, Any]) -> None:
    """Raise AssertionError where the arrays are not as the signature describes; a 0 in a shape is any size."""
    expected = signature["inputs"]
    if not isinstance(inputs, list):
        raise AssertionError("Input data must be a list.")
    if len(inputs) != len(expected):
        raise AssertionError(f"the signature has {len(expected)} inputs, there are {len(inputs)}")
    for value, described in zip(inputs, expected, strict=True):
        name, shape = described["data_name"], described["data_shape"]
        if not isinstance(value, mxnet.nd.NDArray):
            raise AssertionError(f"input {name} is not an NDArray, but {type(value).__name__}")
        if len(value.shape) != len(shape):
            raise AssertionError(
                f"input {name} has {len(value.shape)} dimensions, the signature says {len(shape)}"
            )
        for size, wanted in zip(value.shape[1:], shape[1:], strict=True):
            if wanted not in (0, size):
                raise AssertionError(f"input {name} has shape {value.shape}, expected {shape}")


class _MXNetService(SingleNodeService):
    """What the services for both kinds of MXNet models share."""

    labels: list[str]

    def __init__(
        self, model_name: str, model_dir: str, manifest: dict[str, Any], gpu: int | None = None
    ) -> None:
        super().__init__(model_name, model_dir, manifest, gpu)
        self.param_filename: str | None = None
        self.model_name = model_name
        self.ctx = mxnet.cpu() if gpu is None else mxnet.gpu(int(gpu))
        self._signature = read_signature(model_dir, manifest)
        synset = os.path.join(model_dir, "synset.txt")
        if os.path.isfile(synset):
            with open(synset, encoding="utf-8") as file:
                self.labels = [line.strip() for line in file]

    def ping(self) -> Any:
        """The version of MXNet."""
        return mxnet.__version__

    @property
    def signature(self) -> Any:
        return self._signature


class MXNetBaseService(_MXNetService):
    """Serves a symbol and its parameters."""

    def __init__(
        self, model_name: str, model_dir: str, manifest: dict[str, Any], gpu: int | None = None
    ) -> None:
        super().__init__(model_name, model_dir, manifest, gpu)
        shapes = []
        for described in self._signature["inputs"]:
            # The size of a batch, and every size that is left open, is 1 for the binding.
            described["data_shape"][0] = 1
            described["data_shape"][:] = [size or 1 for size in described["data_shape"]]
            shapes.append((described["data_name"], tuple(described["data_shape"])))
        model = manifest["Model"]
        self.param_filename = model.get("Parameters") or ""
        prefix = model["Symbol"].removesuffix("-symbol.json")
        symbol, arguments, auxiliaries = mxnet.model.load_checkpoint(
            os.path.join(model_dir, prefix), _epoch(self.param_filename)
        )
        self.mx_model = mxnet.mod.Module(
            symbol=symbol,
            context=self.ctx,
            data_names=[name for name, _ in shapes],
            label_names=None,
        )
        self.mx_model.bind(for_training=False, data_shapes=shapes)
        self.mx_model.set_params(arguments, auxiliaries, allow_missing=True, allow_extra=True)

    def _preprocess(self, data: Any) -> Any:
        return [mxnet.nd.array(value) for value in data]

    def _inference(self, data: Any) -> Any:
        check_input_shape(data, self._signature)
        batch = mxnet.io.DataBatch([value.as_in_context(self.ctx) for value in data])
        self.mx_model.forward(batch)
        outputs = self.mx_model.get_outputs()
        # MXNet computes when a value is read: errors and time belong here, not to the next step.
        for output in outputs:
            for array in output if isinstance(output, list) else [output]:
                if isinstance(array, mxnet.nd.NDArray):
                    array.wait_to_read()
        return outputs

    def _postprocess(self, data: Any) -> Any:
        return [str(output.asnumpy().tolist()) for output in data]


class GluonImperativeBaseService(_MXNetService):
    """Serves a Gluon network, which the derived class hands over as `net`."""

    def __init__(
        self,
        model_name: str,
        model_dir: str,
        manifest: dict[str, Any],
        net: Any = None,
        gpu: int | None = None,
    ) -> None:
        super().__init__(model_name, model_dir, manifest, gpu)
        self.net = net
        self.param_filename = manifest["Model"].get("Parameters")
        if net is not None and self.param_filename:
            net.load_parameters(os.path.join(model_dir, self.param_filename), ctx=self.ctx)
        else:
            logging.info("Model %s has no parameters to load", model_name)

    def _preprocess(self, data: Any) -> Any:
        return None

    def _inference(self, data: Any) -> Any:
        check_input_shape(data, self._signature)

    def _postprocess(self, data: Any) -> Any:
        return None


def _epoch(param_filename: str) -> int:
    """The number before the ending: `<name>-0012.params` -> 12."""
    digits = param_filename.removesuffix(".params").rpartition("-")[2]
    return int(digits) if digits.isdigit() else 0
