"""Which path and method lead where, and the errors of those that lead nowhere."""

from __future__ import annotations

import pytest
from support.client import Part, Reply, multipart
from support.server import Server

pytestmark = pytest.mark.edge

ROUTE_NOT_FOUND = {
    "code": 404,
    "type": "ResourceNotFoundException",
    "message": "Requested resource is not found, please refer to API document.",
}
METHOD_NOT_ALLOWED = {
    "code": 405,
    "type": "MethodNotAllowedException",
    "message": "Requested method is not allowed, please refer to API document.",
}


def model_not_found(name: str) -> dict[str, object]:
    return {"code": 404, "type": "ModelNotFoundException", "message": f"Model not found: {name}"}


def _assert_ok(reply: Reply) -> None:
    assert (reply.status, reply.body) == (200, b"OK")


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/x-www-form-urlencoded", b"data=test"),
        ("application/octet-stream", b"test"),
        ("application/json", b'{"data": "test"}'),
    ],
)
def test_predictions_take_forms_bytes_and_json(
    server: Server, content_type: str, body: bytes
) -> None:
    _assert_ok(server.inference.post("/predictions/noop", body, content_type=content_type))


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH"])
def test_predictions_take_any_method_but_options(server: Server, method: str) -> None:
    _assert_ok(server.inference.request(method, "/predictions/noop"))


def test_further_segments_after_a_version_do_not_matter(server: Server) -> None:
    reply = server.inference.get("/predictions/noop/1.0/more")
    _assert_ok(reply)


def test_invocations_choose_the_model_by_query(server: Server) -> None:
    reply = server.inference.post_json("/invocations?model_name=noop", {"data": "test"})
    _assert_ok(reply)


def test_invocations_use_the_only_startup_model_whatever_the_form_names(server: Server) -> None:
    body, content_type = multipart(
        Part("model_name", b"noop_v0.1"),
        Part("data", b"test", filename="test.txt", content_type="text/plain"),
    )
    _assert_ok(server.inference.post("/invocations", body, content_type=content_type))


def test_invocations_need_a_model_name_when_two_models_were_loaded_at_start(
    combined: Server,
) -> None:
    reply = combined.inference.post("/invocations", b"x")
    assert (reply.status, reply.json()) == (
        400,
        {
            "code": 400,
            "type": "BadRequestException",
            "message": "Parameter model_name is required.",
        },
    )


def test_an_empty_model_name_is_an_unknown_model(combined: Server) -> None:
    reply = combined.inference.post("/invocations?model_name=", b"x")
    assert (reply.status, reply.json()) == (404, model_not_found(""))


def test_the_first_of_two_model_names_chooses(server: Server) -> None:
    inspect = server.shared("inspect")
    reply = server.inference.post(f"/invocations?model_name={inspect}&model_name=noop", b"x")
    assert reply.json()["model_name"] == inspect
    assert reply.json()["data"]["model_name"]["value"] == "noop"


def test_models_invoke_takes_json(server: Server) -> None:
    _assert_ok(server.inference.post_json("/models/noop/invoke", {"data": "test"}))


def test_models_invoke_takes_a_multipart_file(server: Server) -> None:
    body, content_type = multipart(
        Part("data", b"test", filename="test.txt", content_type="text/plain")
    )
    _assert_ok(server.inference.post("/models/noop/invoke", body, content_type=content_type))


def test_the_legacy_predict_route_works(server: Server) -> None:
    _assert_ok(server.inference.get("/noop/predict?data=test"))


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
def test_the_root_of_the_inference_listener_takes_options_only(server: Server, method: str) -> None:
    reply = server.inference.request(method, "/")
    assert (reply.status, reply.json()) == (405, METHOD_NOT_ALLOWED)


def test_below_the_description_route_is_405(server: Server) -> None:
    reply = server.inference.get("/api-description/x")
    assert (reply.status, reply.json()) == (405, METHOD_NOT_ALLOWED)


@pytest.mark.parametrize(
    "path",
    [
        "/InvalidUrl",
        "/predictions",
        "/predictions/",
        "/invocations/noop",
        "/models/noop/other",
        "/models",
        "/a/b/predict",
        "/noop/predict/more",
        "/noop/Predict",
        "/PING",
    ],
)
def test_an_unknown_path_is_404(server: Server, path: str) -> None:
    reply = server.inference.get(path)
    assert (reply.status, reply.json()) == (404, ROUTE_NOT_FOUND)


@pytest.mark.parametrize(
    "path",
    [
        "/predictions/InvalidModel",
        "/models/InvalidModel/invoke",
        "/InvalidModel/predict",
        "/invocations?model_name=InvalidModel",
    ],
)
def test_an_unknown_model_is_404_with_its_name(server: Server, path: str) -> None:
    reply = server.inference.get(path)
    assert (reply.status, reply.json()) == (404, model_not_found("InvalidModel"))


def test_an_unknown_path_of_the_management_listener_is_404(main_server: Server) -> None:
    assert main_server.management.get("/models/noop/more").status == 404
    for path in ("/InvalidUrl", "/models/noop/more/still"):
        reply = main_server.management.get(path)
        assert (reply.status, reply.json()) == (404, ROUTE_NOT_FOUND)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
def test_the_models_route_takes_get_and_post_only(main_server: Server, method: str) -> None:
    reply = main_server.management.request(method, "/models")
    assert (reply.status, reply.json()) == (405, METHOD_NOT_ALLOWED)


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_the_route_of_a_model_takes_get_put_and_delete_only(
    main_server: Server, method: str
) -> None:
    reply = main_server.management.request(method, "/models/noop")
    assert (reply.status, reply.json()) == (405, METHOD_NOT_ALLOWED)


def test_the_root_of_the_management_listener_takes_options_only(main_server: Server) -> None:
    reply = main_server.management.get("/")
    assert (reply.status, reply.json()) == (405, METHOD_NOT_ALLOWED)


def test_trailing_slashes_are_ignored(server: Server) -> None:
    _assert_ok(server.inference.get("/predictions/noop/"))
    _assert_ok(server.inference.get("/models/noop/invoke///"))
    _assert_ok(server.inference.get("/noop/predict/"))
    assert server.management.get("/models/").status == 200
    assert server.management.get("/models/noop/").status == 200


def test_each_part_of_a_path_is_decoded(server: Server) -> None:
    _assert_ok(server.inference.get("/%70redictions/%6Eoop"))
    assert server.management.get("/%6Dodels/noop%2F").status == 404


@pytest.mark.better_than_mms
def test_a_slash_is_part_of_a_name_where_it_is_escaped(server: Server) -> None:
    with server.registered("noop", model_name="team/res net") as name:
        assert name == "team/res net"
        path = "team%2Fres%20net"
        _assert_ok(server.inference.get(f"/predictions/{path}"))
        _assert_ok(server.inference.get(f"/models/{path}/invoke"))
        assert server.management.get(f"/models/{path}").json()["modelName"] == name
        reply = server.management.put(f"/models/{path}?min_worker=2&synchronous=true")
        assert reply.status == 200, reply
    assert server.management.get(f"/models/{path}").status == 404


def test_a_name_with_blanks_and_other_letters_is_reached_by_escapes(server: Server) -> None:
    with server.registered("noop", model_name="größer als") as name:
        assert name == "größer als"
        _assert_ok(server.inference.get("/predictions/gr%C3%B6%C3%9Fer%20als"))
        _assert_ok(server.inference.get("/invocations?model_name=gr%C3%B6%C3%9Fer+als"))


def test_semicolons_separate_query_parameters_too(server: Server) -> None:
    inspect = server.shared("inspect")
    reply = server.inference.get(f"/invocations?a=1;model_name={inspect}&b=2;c")
    values = {name: entry["value"] for name, entry in reply.json()["data"].items()}
    assert values == {"a": "1", "model_name": inspect, "b": "2", "c": "", "body": ""}


@pytest.mark.better_than_mms
@pytest.mark.parametrize(
    "path",
    ["/invocations?model_name=%zz", "/invocations?a=%4", "/noop/predict?%=1", "/predictions/%g1"],
)
def test_a_broken_percent_escape_is_400(server: Server, path: str) -> None:
    reply = server.inference.get(path)
    assert reply.status == 400
    assert reply.json()["type"] == "BadRequestException"
    assert reply.json()["message"]


@pytest.mark.better_than_mms
def test_a_broken_percent_escape_is_400_on_the_management_listener(main_server: Server) -> None:
    for path in ("/models?limit=%zz", "/models/%"):
        reply = main_server.management.get(path)
        assert (reply.status, reply.json()["type"]) == (400, "BadRequestException")


@pytest.mark.better_than_mms
@pytest.mark.parametrize("bad", ["%ED%A0%80", "%FF", "caf%E9"])
def test_what_is_not_utf_8_in_paths_and_queries_is_400(main_server: Server, bad: str) -> None:
    server = main_server
    noop = server.shared("noop")
    for path in (
        f"/predictions/{bad}",
        f"/invocations?model_name={noop}&a={bad}",
        f"/models/{noop}/invoke?{bad}=1",
    ):
        reply = server.inference.get(path)
        assert (reply.status, reply.json()["type"]) == (400, "BadRequestException"), path
        assert "Invalid UTF-8 in " in reply.json()["message"]
    for ask, path in (
        (server.management.post, f"/models?url=noop.mar&model_name={bad}"),
        (server.management.get, f"/models/{bad}"),
        (server.management.put, f"/models/{noop}/{bad}?min_worker=1"),
        (server.management.delete, f"/models/{bad}"),
    ):
        reply = ask(path)
        assert (reply.status, reply.json()["type"]) == (400, "BadRequestException"), path
        assert "Invalid UTF-8 in " in reply.json()["message"]
    assert not any(
        "\ufffd" in entry["modelName"]
        for entry in server.management.get("/models?limit=1000").json()["models"]
    )


@pytest.mark.better_than_mms
def test_options_on_a_star_is_a_client_error_or_the_description(server: Server) -> None:
    with server.inference.wire() as wire:
        reply = wire.call("OPTIONS", "*")
    assert reply.status in (200, 400, 404, 405)
    assert reply.json()


def test_1024_query_parameters_are_read(server: Server) -> None:
    path = "/invocations?" + "a&" * 1023 + "model_name=absent"
    assert server.inference.get(path).json() == model_not_found("absent")


def test_a_plus_in_the_path_is_a_plus(server: Server) -> None:
    reply = server.inference.get("/predictions/a+b?c+d")
    assert reply.json() == model_not_found("a+b")


def test_one_connection_may_mix_everything(server: Server) -> None:
    echo = server.shared("echo")
    form, content_type = multipart(Part("data", b"x"))
    with server.inference.wire() as wire:
        for _ in range(3):
            assert wire.call("POST", f"/predictions/{echo}", b"1").text.endswith("(b'1')}")
            assert wire.call("GET", "/ping").json() == {"status": "Healthy"}
            reply = wire.call("POST", f"/predictions/{echo}", form, f"Content-Type: {content_type}")
            assert reply.text == "{'data': bytearray(b'x')}"
            assert wire.call("POST", f"/{echo}/predict?q=1", b"2").text == (
                "{'q': bytearray(b'1'), 'body': bytearray(b'2')}"
            )
            assert wire.call("OPTIONS", f"/predictions/{echo}").json()["openapi"] == "3.0.1"
            assert wire.call("PUT", f"/models/{echo}/invoke", b"3").text.endswith("(b'3')}")
            assert wire.call("GET", f"/predictions/{echo}").text == "{'body': bytearray(b'')}"
