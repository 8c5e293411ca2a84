"""The public names of seldon-core 1.17.1, one by one, in the package that stands in for it."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ORACLE = os.environ.get("SELDON_ORACLE_PYTHON", "")
SHIM = (
    Path(__file__).resolve().parents[3]
    / "mms"
    / "interfaces"
    / "seldon"
    / "packages"
    / "seldon_core"
)

#: Module -> what it has in seldon-core 1.17.1, its own and what it imports of the package.
NAMES = {
    "api_tester": """
        SeldonClient generate_batch get_seldon_client main
        run_predict run_send_feedback unfold_contract
    """,
    "batch_processor": """
        CHOICES_DATA_TYPE CHOICES_GATEWAY_TYPE CHOICES_LOG_LEVEL CHOICES_METHOD
        CHOICES_PAYLOAD_TYPE CHOICES_TRANSPORT SELDON_PUID_HEADER SeldonCallCredentials
        SeldonChannelCredentials SeldonClient run_cli setup_logging start_multithreaded_batch_worker
    """,
    "env_utils": """
        ENV_MODEL_IMAGE ENV_MODEL_NAME ENV_PREDICTOR_LABELS ENV_PREDICTOR_NAME
        ENV_SELDON_DEPLOYMENT_NAME NONIMPLEMENTED_IMAGE_MSG NONIMPLEMENTED_MSG get_deployment_name
        get_image_name get_model_name get_predictor_name get_predictor_version
    """,
    "flask_utils": """
        ANNOTATIONS_FILE ANNOTATION_GRPC_MAX_MSG_SIZE ANNOTATION_REST_TIMEOUT DEFAULT_ANNOTATION_REST_TIMEOUT
        SeldonMicroserviceException get_multi_form_data_request get_request jsonify
    """,
    "gunicorn_utils": """
        SeldonMetrics StandaloneApplication UserModelApplication accesslog
        post_worker_init setup_tracing threads worker_exit
    """,
    "imports_helper": """
        notice
    """,
    "metadata": """
        INPUTS_OUTPUTS_SCHEMA JSON_SCHEMA METADATA_TENSOR_SCHEMA MODEL_IMAGE
        SELDON_ARRAY_SCHEMA SELDON_BIN_SCHEMA SELDON_CUSTOM_DEFINITION SELDON_JSON_SCHEMA
        SELDON_STR_SCHEMA SeldonInvalidMetadataError TENSOR_DATA_TYPES split_image_tag
        validate_model_metadata
    """,
    "metrics": """
        AGGREGATE_METRIC_METHOD_TAG BINS COUNTER DEFAULT_LABELS
        FEEDBACK_KEY FEEDBACK_METRIC_METHOD_TAG FEEDBACK_REWARD_KEY GAUGE
        HEALTH_METRIC_METHOD_TAG INPUT_TRANSFORM_METRIC_METHOD_TAG
        OUTPUT_TRANSFORM_METRIC_METHOD_TAG PREDICT_METRIC_METHOD_TAG
        ROUTER_METRIC_METHOD_TAG SeldonMetrics TIMER create_counter
        create_gauge create_timer get_deployment_name get_image_name
        get_model_name get_predictor_name get_predictor_version image
        legacy_mode model_image model_version predictor_version
        split_image_tag validate_metrics
    """,
    "microservice": """
        ANNOTATIONS_FILE ANNOTATION_REST_TIMEOUT DEBUG_ENV DEFAULT_ANNOTATION_REST_TIMEOUT
        DEFAULT_GRPC_PORT DEFAULT_HTTP_PORT DEFAULT_LOG_LEVEL DEFAULT_METRICS_PORT
        FILTER_METRICS_ACCESS_LOGS_ENV_NAME GRPC_SERVICE_PORT_ENV_NAME GUNICORN_ACCESS_LOG_ENV
        HTTP_SERVICE_PORT_ENV_NAME
        LOG_LEVEL_ENV METRICS_SERVICE_PORT_ENV_NAME MetricsEndpointFilter PARAMETERS_ENV_NAME
        SeldonMetrics SeldonMicroserviceException StandaloneApplication USE_MULTIPROCESS
        USE_MULTIPROCESS_ENV_NAME UserModelApplication accesslog getenv_as_bool
        load_annotations main parse_args parse_parameters
        post_worker_init setup_logger setup_tracing start_servers
        threads worker_exit
    """,
    "microservice_tester": """
        SeldonClient SeldonTesterException gen_categorical gen_continuous
        generate_batch get_class_names main reconciliate_cont_type
        run_method run_send_feedback unfold_contract
    """,
    "mlmd_utils": """

    """,
    "proto": """

    """,
    "proto.prediction_pb2": """
        DefaultData Feedback Meta Metric
        RequestResponse SeldonGraphMetadata SeldonMessage SeldonMessageList
        SeldonMessageMetadata SeldonModelMetadata SeldonModelMetadataRequest Status
        Tensor
    """,
    "proto.prediction_pb2_grpc": """
        Combiner CombinerServicer CombinerStub Generic
        GenericServicer GenericStub Model ModelServicer
        ModelStub OutputTransformer OutputTransformerServicer OutputTransformerStub
        Router RouterServicer RouterStub Seldon
        SeldonServicer SeldonStub Transformer TransformerServicer
        TransformerStub add_CombinerServicer_to_server add_GenericServicer_to_server
        add_ModelServicer_to_server
        add_OutputTransformerServicer_to_server add_RouterServicer_to_server
        add_SeldonServicer_to_server add_TransformerServicer_to_server
    """,
    "seldon_client": """
        SeldonCallCredentials SeldonChannelCredentials SeldonClient SeldonClientCombine
        SeldonClientException SeldonClientFeedback SeldonClientPrediction array_to_grpc_datadef
        explain_predict_gateway feedback_to_json grpc_feedback_gateway grpc_feedback_seldon
        grpc_predict_gateway grpc_predict_seldon json_to_feedback json_to_seldon_message
        microservice_api_grpc_aggregate microservice_api_grpc_feedback
        microservice_api_grpc_seldon_message microservice_api_rest_aggregate
        microservice_api_rest_feedback microservice_api_rest_seldon_message rest_feedback_gateway
        rest_feedback_seldon
        rest_predict_gateway rest_predict_seldon seldon_message_to_json seldon_messages_to_json
    """,
    "seldon_methods": """
        AGGREGATE_METRIC_METHOD_TAG FEEDBACK_METRIC_METHOD_TAG HEALTH_METRIC_METHOD_TAG
        INCLUDE_METRICS_IN_CLIENT_RESPONSE
        INPUT_TRANSFORM_METRIC_METHOD_TAG OUTPUT_TRANSFORM_METRIC_METHOD_TAG
        PREDICT_METRIC_METHOD_TAG ROUTER_METRIC_METHOD_TAG
        SeldonInvalidMetadataError SeldonMetrics SeldonMicroserviceException SeldonNotImplementedError
        SeldonResponse aggregate client_aggregate client_custom_metrics
        client_health_status client_predict client_route client_send_feedback
        client_transform_input client_transform_output construct_response construct_response_json
        extract_feedback_request_parts extract_request_parts extract_request_parts_json getenv_as_bool
        handle_raw_custom_metrics health_status init_metadata json_to_seldon_message
        predict route seldon_message_to_json send_feedback
        transform_input transform_output validate_model_metadata
    """,
    "serving_test_gen": """
        RANGE_FLOAT_MAX RANGE_FLOAT_MIN RANGE_INTEGER_MAX RANGE_INTEGER_MIN
        create_seldon_api_testing_file
    """,
    "storage": """
        Storage
    """,
    "user_model": """
        INCLUDE_METRICS_IN_CLIENT_RESPONSE SeldonComponent SeldonMetrics SeldonMicroserviceException
        SeldonNotImplementedError SeldonResponse client_aggregate client_class_names
        client_custom_metrics client_custom_tags client_feature_names client_health_status
        client_predict client_route client_send_feedback client_transform_input
        client_transform_output validate_metrics
    """,
    "utils": """
        ENV_MODEL_IMAGE ENV_MODEL_NAME NONIMPLEMENTED_IMAGE_MSG NONIMPLEMENTED_MSG
        SeldonComponent SeldonMicroserviceException array_to_grpc_datadef array_to_list_value
        array_to_rest_datadef client_class_names client_custom_tags client_feature_names
        construct_response construct_response_json extract_feedback_request_parts extract_request_parts
        extract_request_parts_json feedback_to_json get_data_from_proto get_image_name
        get_meta_from_proto get_model_name get_request_path getenv
        getenv_as_bool grpc_datadef_to_array json_to_feedback json_to_seldon_message
        json_to_seldon_messages json_to_seldon_model_metadata seldon_message_to_json seldon_messages_to_json
        setup_tracing
    """,
    "version": """

    """,
    "wrapper": """
        ANNOTATION_GRPC_MAX_MSG_SIZE METRICS_ENDPOINT PAYLOAD_PASSTHROUGH PRED_UNIT_ID
        SeldonMicroserviceException SeldonModelGRPC get_grpc_server get_metrics_microservice
        get_model_name get_request get_rest_microservice getenv_as_bool
        json_to_feedback json_to_seldon_model_metadata jsonify seldon_message_to_json
    """,
}


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(str(SHIM))
    yield lambda module: importlib.import_module(f"seldon_core.{module}")
    for name in [name for name in sys.modules if name.split(".")[0] == "seldon_core"]:
        del sys.modules[name]


@pytest.mark.parametrize("module", NAMES)
def test_every_public_name_can_be_imported(load: Any, module: str) -> None:
    if module.endswith("_grpc"):
        pytest.importorskip("grpc", reason="grpcio is not installed")
    found = load(module)
    missing = []
    for name in NAMES[module].split():
        try:
            getattr(found, name)
        except AttributeError:
            missing.append(name)
    assert missing == []


def answers(python: str, *paths: str) -> Any:
    finished = subprocess.run(
        [python, "-W", "ignore", str(Path(__file__).with_name("constructed.py")), *paths],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert finished.returncode == 0, finished.stderr[-2000:]
    return json.loads(finished.stdout)


@pytest.fixture(scope="module")
def ours() -> Any:
    return answers(sys.executable, str(SHIM.parents[2]), str(SHIM))


@pytest.mark.skipif(
    not ORACLE, reason="SELDON_ORACLE_PYTHON names no Python with seldon-core 1.17.1"
)
def test_functions_that_components_call_answer_as_those_of_seldons_package(ours: Any) -> None:
    different = [
        f"{number}: ours {one}, theirs {other}"
        for number, (one, other) in enumerate(zip(ours, answers(ORACLE), strict=True))
        if one != other
    ]
    assert different == []


def test_what_those_functions_raise_is_of_seldons_own_tree(ours: Any) -> None:
    firsts = [found[0] for found in ours if isinstance(found, list) and found]
    raised = {first for first in firsts if isinstance(first, str) and first[0].isupper()}
    assert raised == {"SeldonMicroserviceException", "SeldonNotImplementedError"}


def test_a_message_is_constructed_as_printed_in_seldons_examples(load: Any) -> None:
    class Model:
        def class_names(self) -> list[str]:
            return ["low", "high"]

        def tags(self) -> dict[str, str]:
            return {"system": "production"}

    request = {"data": {"ndarray": [[1, 2]]}, "meta": {"puid": "p"}}
    made = load("utils").construct_response_json(Model(), False, request, np.array([[0.1, 0.9]]))
    assert made == {
        "data": {"names": ["low", "high"], "ndarray": [[0.1, 0.9]]},
        "meta": {"tags": {"system": "production"}, "puid": "p"},
    }
    message = load("utils").construct_response(
        Model(), False, load("utils").json_to_seldon_message(request), np.array([[0.1, 0.9]])
    )
    assert list(message.data.names) == ["low", "high"]
    assert message.meta.puid == "p"


def test_a_grpc_server_of_a_users_test_answers(load: Any) -> None:
    grpc = pytest.importorskip("grpc", reason="grpcio is not installed")

    class Doubler:
        def predict(self, X: Any, names: Any) -> Any:
            return X * 2

    metrics = load("metrics").SeldonMetrics()
    server = load("wrapper").get_grpc_server(Doubler(), metrics)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        stub = load("proto.prediction_pb2_grpc").ModelStub(
            grpc.insecure_channel(f"127.0.0.1:{port}")
        )
        request = load("utils").json_to_seldon_message({"data": {"ndarray": [[1, 2]]}})
        answer = stub.Predict(request, timeout=20)
        assert load("utils").get_data_from_proto(answer).tolist() == [[2, 4]]
    finally:
        server.stop(None)


def test_what_cannot_be_there_fails_on_use_with_the_reason(load: Any) -> None:
    main = load("microservice").main
    with pytest.raises(NotImplementedError, match="mms microservice takes the place of"):
        main()
    schema = load("metadata").JSON_SCHEMA
    for use in (lambda: schema["properties"], lambda: list(schema), lambda: schema.copy()):
        with pytest.raises(NotImplementedError, match="without a JSON schema"):
            use()
    with pytest.raises(NotImplementedError, match="runs no gunicorn"):
        types.new_class("Own", (load("gunicorn_utils").StandaloneApplication,))()


def test_a_name_that_seldons_package_has_not_either_is_no_attribute(load: Any) -> None:
    for module in ("utils", "user_model", "microservice", "seldon_methods"):
        with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
            load(module).nothing  # noqa: B018  # the look-up itself is what fails
