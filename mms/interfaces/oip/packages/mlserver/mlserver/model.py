"""The base of models."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from .codecs import (
    decode_inference_request,
    decode_request_input,
    encode_inference_response,
    encode_response_output,
    get_decoded,
    has_decoded,
)
from .codecs.errors import CodecNotFound
from .settings import ModelSettings
from .types import (
    InferenceRequest,
    InferenceResponse,
    MetadataModelResponse,
    MetadataTensor,
    Parameters,
    RequestInput,
    RequestOutput,
    ResponseOutput,
)


class MLModel:
    """A model: `load` and `predict` are for its author to write."""

    def __init__(self, settings: ModelSettings) -> None:
        self._settings = settings
        self._inputs_index = {each.name: each for each in settings.inputs or ()}
        self._outputs_index = {each.name: each for each in settings.outputs or ()}
        self.ready = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    async def load(self) -> bool:
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        raise NotImplementedError("predict() method not implemented")

    async def predict_stream(
        self, payloads: AsyncIterator[InferenceRequest]
    ) -> AsyncIterator[InferenceResponse]:
        yield await self.predict(await payloads.__anext__())

    async def unload(self) -> bool:
        return True

    @property
    def name(self) -> str:
        return self._settings.name

    @property
    def version(self) -> str | None:
        return self._settings.version

    @property
    def settings(self) -> ModelSettings:
        return self._settings

    @property
    def inputs(self) -> list[MetadataTensor]:
        return self._settings.inputs

    @inputs.setter
    def inputs(self, value: list[MetadataTensor]) -> None:
        self._settings.inputs = value
        self._inputs_index = {each.name: each for each in value}

    @property
    def outputs(self) -> list[MetadataTensor]:
        return self._settings.outputs

    @outputs.setter
    def outputs(self, value: list[MetadataTensor]) -> None:
        self._settings.outputs = value
        self._outputs_index = {each.name: each for each in value}

    def decode(self, request_input: RequestInput, default_codec: Any = None) -> Any:
        """Return an input by the codec of its content type, that of the model's metadata, or the default one; else its
        data."""
        decode_request_input(request_input, self._inputs_index)
        if has_decoded(request_input):
            return get_decoded(request_input)
        return (
            request_input.data
            if default_codec is None
            else default_codec.decode_input(request_input)
        )

    def decode_request(self, inference_request: InferenceRequest, default_codec: Any = None) -> Any:
        """Return a whole request by the codec of its content type, that of the settings, or the default one; else
        the request with its inputs decoded."""
        decode_inference_request(inference_request, self._settings, self._inputs_index)
        if has_decoded(inference_request):
            return get_decoded(inference_request)
        return (
            inference_request
            if default_codec is None
            else default_codec.decode_request(inference_request)
        )

    def encode_response(self, payload: Any, default_codec: Any = None) -> InferenceResponse:
        """Return the answer that a value is. Raises CodecNotFound."""
        response = encode_inference_response(payload, self._settings)
        if response is not None:
            return response
        if default_codec is not None:
            found: InferenceResponse = default_codec.encode_response(
                self.name, payload, self.version
            )
            return found
        raise CodecNotFound(payload_type=str(type(payload)), is_request=True)

    def encode(
        self, payload: Any, request_output: RequestOutput, default_codec: Any = None
    ) -> ResponseOutput:
        """Return the output that a value is. Raises CodecNotFound."""
        output = encode_response_output(payload, request_output, self._outputs_index)
        if output is not None:
            return output
        if default_codec is not None:
            found: ResponseOutput = default_codec.encode_output(request_output.name, payload)
            return found
        raise CodecNotFound(name=request_output.name)

    async def metadata(self) -> MetadataModelResponse:
        own = self._settings.parameters
        return MetadataModelResponse(
            name=self.name,
            platform=self._settings.platform,
            versions=self._settings.versions,
            inputs=self._settings.inputs,
            outputs=self._settings.outputs,
            parameters=None if own is None else Parameters(content_type=own.content_type),
        )
