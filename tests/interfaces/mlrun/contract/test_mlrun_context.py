"""What a class is told by its context: parameters, secrets, addresses, a logger."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mms.interfaces.mlrun.errors import MLRunNotFoundError
from mms.interfaces.mlrun.files.secrets import Secrets
from mms.interfaces.mlrun.model.context import GraphContext
from mms.interfaces.mlrun.model.event import MockEvent, Response
from mms.interfaces.mlrun.model.logger import Logger


class Sink:
    def __init__(self, error: Exception | None = None) -> None:
        self.records: list[Any] = []
        self._error = error

    def push(self, record: Any) -> None:
        if self._error is not None:
            raise self._error
        self.records.append(record)


def test_response_is_the_class_not_an_object() -> None:
    made = GraphContext().Response(body="x", status_code=201, headers={"a": "b"})
    assert isinstance(made, Response)
    assert (made.status_code, made.headers) == (201, {"a": "b"})


def test_parameters_are_those_of_the_function() -> None:
    context = GraphContext(parameters={"a": 1, "none": None})
    assert context.get_param("a") == 1
    assert context.get_param("b", 2) == 2
    assert GraphContext().get_param("a", 3) == 3


def test_parameters_of_the_server_are_used_where_there_are_no_others() -> None:
    class Server:
        parameters = {"a": 5}
        function_uri = "shop/fn:v1"
        verbose = True

    context = GraphContext(server=Server())
    assert context.get_param("a") == 5
    assert (context.project, context.verbose) == ("shop", True)
    assert context.server is context._server


def test_a_context_of_nuclio_lends_what_it_has() -> None:
    class Own:
        def __init__(self, body: Any = None, **_: Any) -> None:
            self.body = body

    lent = SimpleNamespace(logger=Logger("nuclio"), worker_id=7, Response=Own)
    context = GraphContext(nuclio_context=lent)
    assert (context.logger.name, context.worker_id) == ("nuclio", 7)
    assert isinstance(context.Response(body=1), Own)
    bare = GraphContext(nuclio_context=SimpleNamespace())
    assert (bare.Response, bare.worker_id) == (Response, 0)


def test_the_project_is_the_first_part_of_the_function() -> None:
    assert GraphContext(function_uri="shop/fn:latest").project == "shop"
    assert GraphContext().project == "default"


def test_classes_hang_attributes_of_their_own_on_it() -> None:
    context = GraphContext()
    context.visits = {"s1": 1}  # type: ignore[attr-defined]
    assert context.visits == {"s1": 1}  # type: ignore[attr-defined]


def test_an_address_is_its_own_endpoint_and_a_name_is_one_that_was_given() -> None:
    context = GraphContext(parameters={"remote_endpoints": {"f": "http://h:1/f"}})
    assert context.get_remote_endpoint("http://h/x") == "http://h/x"
    assert context.get_remote_endpoint("f") == "http://h:1/f"
    with pytest.raises(MLRunNotFoundError, match="function other is not known"):
        context.get_remote_endpoint("other")


def test_a_store_address_without_a_resolver_is_refused_with_the_address() -> None:
    with pytest.raises(MLRunNotFoundError, match="store://models/p/m"):
        GraphContext().get_store_resource("store://models/p/m")


def test_a_server_may_resolve_addresses_and_tables() -> None:
    class Server:
        def get_store_resource(self, uri: str) -> str:
            return f"resource {uri}"

        def get_table(self, uri: str) -> str:
            return f"table {uri}"

    context = GraphContext(server=Server())
    assert context.get_store_resource("store://x") == "resource store://x"
    assert context.get_table("t") == "table t"
    with pytest.raises(MLRunNotFoundError, match="table t is not known"):
        GraphContext().get_table("t")


def test_an_error_is_told_to_the_error_stream_with_its_event() -> None:
    context = GraphContext(function_uri="p/f", worker_id=3)
    context.error_stream = sink = Sink()
    context.push_error(MockEvent(body={"x": 1}, event_id="e"), "it broke", source="s2", extra=1)
    (record,) = sink.records
    assert record["event"] == {"id": "e", "body": {"x": 1}}
    assert (record["message"], record["source"], record["args"]) == (
        "it broke",
        "s2",
        {"extra": 1},
    )
    assert (record["function_uri"], record["worker"]) == ("p/f", 3)
    assert record["host"]


def test_an_error_stream_that_fails_fails_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    context = GraphContext()
    context.error_stream = Sink(OSError("no broker"))
    context.push_error(MockEvent(), "it broke")
    assert "failed to write to the error stream: no broker" in capsys.readouterr().out


@pytest.mark.parametrize("form", ["info", "info_with"])
def test_the_logger_takes_fields_beside_its_message(
    form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    getattr(Logger(), form)("loaded", model="m1", count=2)
    line = capsys.readouterr().out
    assert line.endswith('[info] loaded {"model": "m1", "count": 2}\n')


@pytest.mark.parametrize("level", ["debug", "info", "warn", "warning", "error", "exception"])
def test_the_logger_has_every_level_in_both_forms(level: str) -> None:
    logger = Logger(level="debug")
    getattr(logger, level)("a %s", "b")
    getattr(logger, f"{level}_with")("a")


def test_messages_below_the_level_are_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    logger = Logger(level="warn")
    logger.info("no")
    logger.warning("yes")
    assert "no" not in capsys.readouterr().out.replace("warning", "")
    logger.set_logger_level("info")
    logger.info("now")
    assert "now" in capsys.readouterr().out
    with pytest.raises(ValueError, match="loud"):
        logger.set_logger_level("loud")


def test_arguments_that_do_not_fit_a_message_are_written_behind_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Logger().info("done", 1, 2)
    assert capsys.readouterr().out.endswith("done 1 2\n")


def test_bound_fields_go_with_all_messages(capsys: pytest.CaptureFixture[str]) -> None:
    child = Logger().bind(model="m1").get_child("step")
    child.info("x", y=object)
    line = capsys.readouterr().out
    assert '"model": "m1"' in line
    assert "object" in line
    assert child.name == "mlrun.step"


def test_exception_writes_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        raise KeyError("lost")
    except KeyError:
        Logger().exception("failed")
    written = capsys.readouterr().out
    assert "[error] failed" in written
    assert "KeyError: 'lost'" in written


def test_secrets_come_from_all_kinds_of_sources(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "secrets.env"
    file.write_text("# of the test\nFILE_KEY=from file\nQUOTED='q'\n")
    monkeypatch.setenv("ENV_KEY", "from env")
    monkeypatch.setenv("MLRUN_K8S_SECRET__PLATFORM_KEY", "from platform")
    monkeypatch.delenv("ABSENT", raising=False)
    secrets = Secrets.from_sources(
        [
            {"kind": "inline", "source": {"INLINE": "i"}},
            {"kind": "file", "source": str(file)},
            {"kind": "env", "source": "ENV_KEY, ABSENT"},
            {"kind": "kubernetes", "source": "my-secret"},
        ]
    )
    context = GraphContext(secrets=secrets)
    assert context.get_secret("INLINE") == "i"
    assert context.get_secret("FILE_KEY") == "from file"
    assert context.get_secret("QUOTED") == "q"
    assert context.get_secret("ENV_KEY") == "from env"
    assert context.get_secret("platform_key") == "from platform"
    assert context.get_secret("ABSENT") is None
    assert "from file" not in repr(secrets)


def test_sources_may_be_read_by_mlruns_name_for_it() -> None:
    secrets = Secrets.from_list([{"kind": "inline", "source": {"a": 1}, "prefix": "x_"}])
    assert (secrets.get("x_a"), Secrets.from_list(None).get("x_a")) == ("1", None)


def test_an_unknown_kind_of_secrets_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(ValueError, match="kind 'vaults' is unknown, known are inline"):
        Secrets.from_sources([{"kind": "vaults", "source": "x"}])
    with pytest.raises(ValueError, match="kind inline must be a dict"):
        Secrets.from_sources([{"kind": "inline", "source": 3}])
