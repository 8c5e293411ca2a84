"""A client of Seldon servers over REST and gRPC, for components that call other models.

REST goes through the standard library; gRPC needs grpcio.
"""

from __future__ import annotations

import json
import ssl as ssl_module
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mms.interfaces.seldon.codec.messages import Feedback, SeldonMessage, SeldonMessageList
from mms.interfaces.seldon.components.feedback import (
    feedback_of_json,
    json_of_message,
    message_of_json,
)

from ._elsewhere import names_elsewhere
from .utils import array_to_grpc_datadef

__getattr__ = names_elsewhere(__name__)

_METHODS = ("predict", "route", "transform-input", "transform-output", "aggregate", "send-feedback")
_GRPC_METHODS = {
    "predict": ("Model", "Predict"),
    "route": ("Generic", "Route"),
    "transform-input": ("Generic", "TransformInput"),
    "transform-output": ("Generic", "TransformOutput"),
    "aggregate": ("Generic", "Aggregate"),
    "send-feedback": ("Generic", "SendFeedback"),
}
_DEFAULT_MESSAGE_BYTES = 4 * 1024 * 1024


class SeldonClientException(Exception):
    """A call with arguments that the client cannot use."""

    status_code = 400

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class SeldonChannelCredentials:
    """How a TLS connection is checked; `verify=False` does not check a REST server's certificate."""

    def __init__(
        self,
        verify: bool = True,
        root_certificates_file: str | None = None,
        private_key_file: str | None = None,
        certificate_chain_file: str | None = None,
    ) -> None:
        self.verify = verify
        self.root_certificates_file = root_certificates_file
        self.private_key_file = private_key_file
        self.certificate_chain_file = certificate_chain_file


class SeldonCallCredentials:
    """A token, sent as X-Auth-Token with every call."""

    def __init__(self, token: str | None = None) -> None:
        self.token = token


class _Outcome:
    """What was sent, what came back (None if it could not be read), whether the server succeeded, and why not."""

    def __init__(self, request: Any, response: Any, success: bool = True, msg: str = "") -> None:
        self.request = request
        self.response = response
        self.success = success
        self.msg = msg

    def __repr__(self) -> str:
        return (
            f"Success:{self.success} message:{self.msg}\n"
            f"Request:\n{self.request}\nResponse:\n{self.response}"
        )


class SeldonClientPrediction(_Outcome):
    pass


class SeldonClientFeedback(_Outcome):
    pass


class SeldonClientCombine(_Outcome):
    pass


class SeldonClient:
    """Every value of the constructor can be given again with a call, for this call alone."""

    def __init__(
        self,
        gateway: str = "ambassador",
        transport: str = "rest",
        namespace: str | None = None,
        deployment_name: str | None = None,
        payload_type: str = "tensor",
        gateway_endpoint: str = "localhost:8003",
        microservice_endpoint: str = "localhost:5000",
        grpc_max_send_message_length: int = _DEFAULT_MESSAGE_BYTES,
        grpc_max_receive_message_length: int = _DEFAULT_MESSAGE_BYTES,
        channel_credentials: SeldonChannelCredentials | None = None,
        call_credentials: SeldonCallCredentials | None = None,
        debug: bool = False,
        client_return_type: str = "dict",
        ssl: bool | None = None,
    ) -> None:
        self.config: dict[str, Any] = {
            name: value for name, value in locals().items() if name != "self"
        }

    def predict(self, **arguments: Any) -> SeldonClientPrediction:
        """Predicts through a gateway, or where that is "seldon" at its root.

        Takes data (array), bin_data, str_data, json_data, custom_data or raw_data, names, meta
        (sent as tags), headers, gateway_prefix, http_path, shape (of random data if there is none).
        """
        values = self._values(arguments)
        if isinstance(values.get("raw_data"), SeldonMessage):
            request = values["raw_data"]
            content = json_of_message(request)
        elif values.get("raw_data"):
            request = message_of_json(values["raw_data"])
            content = values["raw_data"]
        else:
            request = _message(values, values.get("meta") or {})
            content = json_of_message(request)
        if values["transport"] == "grpc":
            outcome = _call_grpc(values, "Seldon", "Predict", request, values["gateway_endpoint"])
        else:
            outcome = _post_json(values, _gateway_url(values, "predictions"), content)
        return SeldonClientPrediction(*_returned(values, request, content, outcome))

    def explain(self, predictor: str, **arguments: Any) -> SeldonClientPrediction:
        """Asks a deployment's explainer, over REST."""
        values = self._values(arguments)
        request = _message(values, values.get("meta") or {})
        content = json_of_message(request)
        if values["gateway"] == "seldon":
            url = f"{_scheme(values)}://{values['gateway_endpoint']}/api/v1.0/explain"
        else:
            prefix = values.get("gateway_prefix")
            if prefix is None:
                folder = f"{values['namespace']}/" if values["namespace"] else ""
                prefix = f"/seldon/{folder}{values['deployment_name']}-explainer/{predictor}"
            url = f"{_scheme(values)}://{values['gateway_endpoint']}{prefix}/api/v1.0/explain"
        outcome = _post_json(values, url, content)
        return SeldonClientPrediction(*_returned(values, request, content, outcome))

    def feedback(
        self,
        prediction_request: Any = None,
        prediction_response: Any = None,
        prediction_truth: Any = None,
        reward: float = 0,
        **arguments: Any,
    ) -> SeldonClientFeedback:
        """Sends feedback through a gateway; `raw_request` instead of its parts."""
        values = self._values(arguments)
        if values.get("raw_request"):
            request = feedback_of_json(values["raw_request"])
        else:
            request = _feedback(prediction_request, prediction_response, prediction_truth, reward)
        content = values.get("raw_request") or json_of_message(request)
        if values["transport"] == "grpc":
            endpoint = values["gateway_endpoint"]
            outcome = _call_grpc(values, "Seldon", "SendFeedback", request, endpoint)
        else:
            outcome = _post_json(values, _gateway_url(values, "feedback"), content)
        return SeldonClientFeedback(*_returned(values, request, content, outcome))

    def microservice(
        self,
        method: str = "predict",
        datas: Sequence[Any] | None = None,
        ndatas: int | None = None,
        **arguments: Any,
    ) -> SeldonClientPrediction | SeldonClientCombine:
        """Calls a component itself; "aggregate" takes `datas`, or `ndatas` random arrays."""
        values = self._values({**arguments, "method": method})
        request: Any
        kind: type[SeldonClientPrediction] | type[SeldonClientCombine] = SeldonClientPrediction
        if method == "aggregate":
            kind = SeldonClientCombine
            given = datas if datas is not None else [None] * (ndatas or 0)
            request = SeldonMessageList(
                seldonMessages=[_message(_one_of_many(values, data)) for data in given]
            )
        else:
            request = _message(values)
        return kind(*self._call_microservice(values, method, request))

    def microservice_feedback(
        self,
        prediction_request: Any = None,
        prediction_response: Any = None,
        reward: float = 0,
        **arguments: Any,
    ) -> SeldonClientFeedback:
        """Sends feedback to a component itself."""
        values = self._values(arguments)
        request = _feedback(prediction_request, prediction_response, None, reward)
        return SeldonClientFeedback(*self._call_microservice(values, "send-feedback", request))

    def _values(self, arguments: dict[str, Any]) -> dict[str, Any]:
        given = {name: value for name, value in arguments.items() if value is not None}
        values = {**self.config, **given}
        for name, allowed in (
            ("gateway", ("ambassador", "istio", "seldon")),
            ("transport", ("rest", "grpc")),
            ("method", (*_METHODS, None)),
            ("client_return_type", ("dict", "proto")),
        ):
            if values.get(name) not in allowed:
                raise SeldonClientException(
                    f"{name} must be one of {', '.join(map(str, allowed))}, not {values.get(name)}"
                )
        if not isinstance(values.get("data"), np.ndarray | None):
            raise SeldonClientException("Valid values for data are None or numpy array")
        return values

    def _call_microservice(
        self, values: dict[str, Any], method: str, request: Any
    ) -> tuple[Any, Any, bool, str]:
        endpoint = values["microservice_endpoint"]
        if values["transport"] == "grpc":
            service, grpc_method = _GRPC_METHODS[method]
            response, success, message = _call_grpc(values, service, grpc_method, request, endpoint)
            return request, response, success, message
        form = urllib.parse.urlencode({"json": json.dumps(json_of_message(request))}).encode()
        url = f"http://{endpoint}/{method}"
        content, status, reason = _post(url, form, "application/x-www-form-urlencoded", {}, None)
        message = "" if status == 200 else reason
        try:
            return request, message_of_json(json.loads(content)), status == 200, message
        except Exception as error:  # any reply that is no message: told, not raised
            return request, None, status == 200, str(error)


def _one_of_many(values: dict[str, Any], data: Any) -> dict[str, Any]:
    if isinstance(data, bytes | bytearray):
        return {**values, "bin_data": data}
    if isinstance(data, str):
        return {**values, "str_data": data}
    return {**values, "data": data}


def _message(values: dict[str, Any], tags: dict[str, Any] | None = None) -> Any:
    """The SeldonMessage of a call; with a meta (that may be empty) where `tags` are given."""
    given = values.get
    if given("bin_data") is not None:
        message = SeldonMessage(binData=bytes(values["bin_data"]))
    elif given("str_data") is not None:
        message = SeldonMessage(strData=values["str_data"])
    elif given("json_data") is not None:
        message = message_of_json({"jsonData": values["json_data"]})
    elif given("custom_data") is not None:
        message = SeldonMessage(customData=values["custom_data"])
    else:
        data = given("data")
        if data is None:
            data = np.random.default_rng().random(given("shape") or (1, 1))
        names: Iterable[str] | None = given("names")
        message = SeldonMessage(data=array_to_grpc_datadef(values["payload_type"], data, names))
    if tags is not None:
        message.meta.CopyFrom(message_of_json({"meta": {"tags": tags}}).meta)
    return message


def _feedback(request: Any, response: Any, truth: Any, reward: float) -> Any:
    response = message_of_json(response) if isinstance(response, dict) else response
    request = message_of_json(request) if isinstance(request, dict) else request
    return Feedback(request=request, response=response, truth=truth, reward=reward)


def _scheme(values: dict[str, Any]) -> str:
    if values["ssl"] is not None:
        return "https" if values["ssl"] else "http"
    return "http" if values["call_credentials"] is None else "https"


def _gateway_url(values: dict[str, Any], what: str) -> str:
    base = f"{_scheme(values)}://{values['gateway_endpoint']}"
    if values["gateway"] == "seldon":
        return f"{base}/api/v1.0/{what}"
    namespace, deployment = values["namespace"], values["deployment_name"]
    if values.get("http_path") is not None:
        return f"{base}/seldon/{namespace}/{deployment}{values['http_path']}"
    prefix = values.get("gateway_prefix")
    if prefix is None:
        prefix = f"/seldon/{namespace}/{deployment}" if namespace else f"/seldon/{deployment}"
    return f"{base}{prefix}/api/v1.0/{what}"


def _post_json(values: dict[str, Any], url: str, content: Any) -> tuple[Any, bool, str]:
    """(reply, whether it succeeded, why not) of a gateway; the reply as the return type says."""
    headers = dict(values.get("headers") or {})
    credentials = values["call_credentials"]
    if credentials is not None and credentials.token is not None:
        headers["X-Auth-Token"] = credentials.token
    body = json.dumps(content).encode()
    channel = values["channel_credentials"]
    reply, status, reason = _post(url, body, "application/json", headers, channel)
    message = "" if status == 200 else f"{status}:{reason}"
    try:
        decoded = json.loads(reply)
        if values["client_return_type"] == "proto":
            decoded = message_of_json(decoded)
        return decoded, status == 200, message
    except Exception as error:  # any reply that is no message: told, not raised
        return None, False, message or str(error)


def _post(
    url: str,
    body: bytes,
    content_type: str,
    headers: dict[str, str],
    credentials: SeldonChannelCredentials | None,
) -> tuple[bytes, int, str]:
    """(body, status, reason) of the reply. Raises URLError where there is none."""
    request = urllib.request.Request(url, body, {**headers, "Content-Type": content_type})
    context = None
    if credentials is not None:
        context = ssl_module.create_default_context(cafile=credentials.root_certificates_file)
        if not credentials.verify:
            context.check_hostname = False
            context.verify_mode = ssl_module.CERT_NONE
    try:
        with urllib.request.urlopen(request, context=context) as reply:
            return reply.read(), reply.status, reply.reason
    except urllib.error.HTTPError as error:
        with error:
            return error.read(), error.code, str(error.reason)


def _call_grpc(
    values: dict[str, Any], service: str, method: str, request: Any, endpoint: str
) -> tuple[Any, bool, str]:
    import grpc

    from .proto import prediction_pb2_grpc

    options = [
        ("grpc.max_send_message_length", values["grpc_max_send_message_length"]),
        ("grpc.max_receive_message_length", values["grpc_max_receive_message_length"]),
    ]
    metadata = [("seldon", values["deployment_name"]), ("namespace", values["namespace"])]
    metadata += list((values.get("headers") or {}).items())
    credentials = values["call_credentials"]
    if credentials is not None and credentials.token is not None:
        metadata.append(("x-auth-token", credentials.token))
    with _channel(grpc, values["channel_credentials"], endpoint, options) as channel:
        call = getattr(getattr(prediction_pb2_grpc, f"{service}Stub")(channel), method)
        try:
            reply = call(request, metadata=[pair for pair in metadata if pair[1] is not None])
        except grpc.RpcError as error:
            return None, False, str(error)
    return reply, True, ""


def _channel(grpc: Any, files: Any, endpoint: str, options: list[tuple[str, int]]) -> Any:
    if files is None:
        return grpc.insecure_channel(endpoint, options=options)
    names = (files.root_certificates_file, files.private_key_file, files.certificate_chain_file)
    contents = [None if name is None else Path(name).read_bytes() for name in names]
    return grpc.secure_channel(endpoint, grpc.ssl_channel_credentials(*contents), options=options)


def _returned(
    values: dict[str, Any], request: Any, content: Any, outcome: tuple[Any, bool, str]
) -> tuple[Any, Any, bool, str]:
    """Request and reply as the return type says."""
    reply, success, message = outcome
    if values["client_return_type"] == "proto":
        return request, reply, success, message
    if reply is not None and not isinstance(reply, dict | list):
        reply = json_of_message(reply)
    return content, reply, success, message


# The functions that Seldon's client is made of, for those who call them themselves.


def _function(name: str, /, *places: str, **fixed: Any) -> Callable[..., Any]:
    def call(*arguments: Any, **keywords: Any) -> Any:
        given = dict(zip(places, arguments, strict=False)) | keywords
        return getattr(SeldonClient(), name)(**fixed, **given)

    return call


_FEEDBACK = ("prediction_request", "prediction_response")
_REST: dict[str, Any] = {"transport": "rest"}
_GRPC: dict[str, Any] = {"transport": "grpc"}
microservice_api_rest_seldon_message = _function("microservice", "method", **_REST)
microservice_api_grpc_seldon_message = _function("microservice", "method", **_GRPC)
microservice_api_rest_aggregate = _function("microservice", method="aggregate", **_REST)
microservice_api_grpc_aggregate = _function("microservice", method="aggregate", **_GRPC)
microservice_api_rest_feedback = _function("microservice_feedback", *_FEEDBACK, **_REST)
microservice_api_grpc_feedback = _function("microservice_feedback", *_FEEDBACK, **_GRPC)
rest_predict_seldon = _function("predict", gateway="seldon", **_REST)
grpc_predict_seldon = _function("predict", gateway="seldon", **_GRPC)
rest_predict_gateway = _function("predict", "deployment_name", **_REST)
grpc_predict_gateway = _function("predict", "deployment_name", **_GRPC)
explain_predict_gateway = _function("explain", "deployment_name")
rest_feedback_seldon = _function("feedback", *_FEEDBACK, gateway="seldon", **_REST)
grpc_feedback_seldon = _function("feedback", *_FEEDBACK, gateway="seldon", **_GRPC)
rest_feedback_gateway = _function("feedback", *_FEEDBACK, **_REST)
grpc_feedback_gateway = _function("feedback", *_FEEDBACK, **_GRPC)
