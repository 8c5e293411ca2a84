"""Values of requests by their content types; what was decoded once is remembered with its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ..types import InferenceRequest, InferenceResponse, Parameters, RequestInput, ResponseOutput
from .base import RequestCodec, find_input_codec, find_request_codec
from .errors import CodecError

DecodedParameterName = "_decoded_payload"
DefaultOutputPrefix = "output-"
DefaultInputPrefix = "input-"


def inject_batch_dimension(shape: list[int]) -> list[int]:
    """Return the shape of one dimension as that of a column."""
    return shape if len(shape) > 1 else [*shape, 1]


def has_decoded(parametrised_obj: Any) -> bool:
    return hasattr(parametrised_obj.parameters, DecodedParameterName)


def get_decoded(parametrised_obj: Any) -> Any:
    return getattr(parametrised_obj.parameters, DecodedParameterName, None)


def get_decoded_or_raw(parametrised_obj: Any) -> Any:
    if has_decoded(parametrised_obj):
        return get_decoded(parametrised_obj)
    if isinstance(parametrised_obj, RequestInput | ResponseOutput):
        return parametrised_obj.data
    return parametrised_obj


def decode_request_input(
    request_input: RequestInput, metadata_inputs: Mapping[str, Any] | None = None
) -> Any:
    """Return an input by its content type, or that of the model's metadata; None where neither says one."""
    content_type = _content_type(request_input, (metadata_inputs or {}).get(request_input.name))
    codec = None if content_type is None else find_input_codec(content_type)
    return None if codec is None else _saved(request_input, codec.decode_input(request_input))


def decode_inference_request(
    inference_request: InferenceRequest,
    model_settings: Any = None,
    metadata_inputs: Mapping[str, Any] | None = None,
) -> Any:
    """Return a request by its content type, or that of the settings; itself, its inputs decoded, where neither says
    one."""
    for request_input in inference_request.inputs:
        decode_request_input(request_input, metadata_inputs)
    content_type = _content_type(inference_request, model_settings)
    codec = None if content_type is None else find_request_codec(content_type)
    if codec is None:
        return inference_request
    return _saved(inference_request, codec.decode_request(inference_request))


def encode_response_output(
    payload: Any, request_output: Any, metadata_outputs: Mapping[str, Any] | None = None
) -> ResponseOutput | None:
    """Return the output that a value is, by a content type, else by its type; None where it is none."""
    metadata = (metadata_outputs or {}).get(request_output.name)
    codec = find_input_codec(_content_type(request_output, metadata), payload=payload)
    if codec is None:
        return None
    found: ResponseOutput = codec.encode_output(name=request_output.name, payload=payload)
    return found


def encode_inference_response(payload: Any, model_settings: Any) -> InferenceResponse | None:
    """Return the answer that a value is, by its type; None where it is none."""
    codec = find_request_codec(payload=payload)
    if codec is None:
        return None
    found: InferenceResponse = codec.encode_response(
        model_settings.name, payload, model_settings.version
    )
    return found


def _content_type(tagged: Any, metadata: Any) -> str | None:
    for each in (tagged, metadata):
        parameters = getattr(each, "parameters", None)
        if parameters is not None and parameters.content_type:
            found: str = parameters.content_type
            return found
    return None


def _saved(parametrised_obj: Any, payload: Any) -> Any:
    if parametrised_obj.parameters is None:
        parametrised_obj.parameters = Parameters()
    setattr(parametrised_obj.parameters, DecodedParameterName, payload)
    return payload


class SingleInputRequestCodec(RequestCodec):
    """Reads and writes the only tensor of a request or an answer."""

    InputCodec: ClassVar[Any] = None

    @classmethod
    def can_encode(cls, payload: Any) -> bool:
        return bool(cls.InputCodec.can_encode(payload))

    @classmethod
    def encode_response(
        cls, model_name: str, payload: Any, model_version: str | None = None, **kwargs: Any
    ) -> InferenceResponse:
        return InferenceResponse(
            model_name=model_name,
            model_version=model_version,
            parameters=Parameters(content_type=cls.ContentType),
            outputs=[cls.InputCodec.encode_output(f"{DefaultOutputPrefix}1", payload, **kwargs)],
        )

    @classmethod
    def decode_response(cls, response: InferenceResponse) -> Any:
        return cls._only(response.outputs, "output")

    @classmethod
    def encode_request(cls, payload: Any, **kwargs: Any) -> InferenceRequest:
        return InferenceRequest(
            inputs=[cls.InputCodec.encode_input(f"{DefaultInputPrefix}1", payload, **kwargs)],
            parameters=Parameters(content_type=cls.ContentType),
        )

    @classmethod
    def decode_request(cls, request: InferenceRequest) -> Any:
        return cls._only(request.inputs, "input")

    @classmethod
    def _only(cls, tensors: list[Any], side: str) -> Any:
        if len(tensors) != 1:
            raise CodecError(
                f"The '{cls.ContentType}' codec only supports a single {side} tensor ({len(tensors)} were received)"
            )
        if has_decoded(tensors[0]):
            return get_decoded(tensors[0])
        return _saved(tensors[0], cls.InputCodec.decode_input(tensors[0]))
