"""Tables of pandas: a tensor for each column. pandas is imported where there is one."""

from __future__ import annotations

import importlib
import sys
from typing import Any

from ..types import InferenceRequest, InferenceResponse, Parameters, RequestInput, ResponseOutput
from .base import RequestCodec, register_request_codec
from .content import get_decoded, has_decoded, inject_batch_dimension
from .numpy import NumpyCodec, to_array, to_datatype
from .string import StringCodec


class _Frame:
    """Equal to the class of tables, without an import of pandas that no other model needs."""

    def __eq__(self, other: object) -> bool:
        return getattr(other, "__name__", "") == "DataFrame"

    __hash__ = None  # type: ignore[assignment]  # it is only compared


@register_request_codec
class PandasCodec(RequestCodec):
    """A request or an answer as a table."""

    ContentType = "pd"
    TypeHint = _Frame()

    @classmethod
    def can_encode(cls, payload: Any) -> bool:
        pandas = sys.modules.get("pandas")
        return pandas is not None and isinstance(payload, pandas.DataFrame)

    @classmethod
    def encode_response(
        cls,
        model_name: str,
        payload: Any,
        model_version: str | None = None,
        use_bytes: bool = True,
        **kwargs: Any,
    ) -> InferenceResponse:
        return InferenceResponse(
            model_name=model_name,
            model_version=model_version,
            parameters=Parameters(content_type=cls.ContentType),
            outputs=cls.encode_outputs(payload, use_bytes),
        )

    @classmethod
    def decode_response(cls, response: InferenceResponse) -> Any:
        return _frame(response.outputs)

    @classmethod
    def encode_outputs(cls, payload: Any, use_bytes: bool = True) -> list[ResponseOutput]:
        return [_output(str(name), payload[name], use_bytes) for name in payload]

    @classmethod
    def encode_request(
        cls, payload: Any, use_bytes: bool = True, **kwargs: Any
    ) -> InferenceRequest:
        outputs = cls.encode_outputs(payload, use_bytes)
        return InferenceRequest(
            parameters=Parameters(content_type=cls.ContentType),
            inputs=[RequestInput(**vars(each)) for each in outputs],
        )

    @classmethod
    def decode_request(cls, request: InferenceRequest) -> Any:
        return _frame(request.inputs)


def _output(name: str, column: Any, use_bytes: bool) -> ResponseOutput:
    array = column.to_numpy()
    if str(to_datatype(array.dtype)) == "BYTES":
        return StringCodec.encode_output(name, [str(each) for each in array], use_bytes)
    output = NumpyCodec.encode_output(name, array)
    output.shape = inject_batch_dimension(list(array.shape))
    output.parameters = None
    return output


def _frame(tensors: list[Any]) -> Any:
    pandas = importlib.import_module("pandas")
    columns = {}
    for tensor in tensors:
        values = get_decoded(tensor) if has_decoded(tensor) else to_array(tensor)
        if hasattr(values, "reshape"):
            values = values.reshape(tensor.shape[0], -1)[:, 0] if tensor.shape else values
        columns[tensor.name] = pandas.Series(list(values) if isinstance(values, list) else values)
    return pandas.DataFrame(columns)
