"""Graphs as models of a host: registered, answered, guarded, ended. Their nodes are handlers with real workers."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from support.replies import AwaitedReply, make_request
from support.waiting import until

from mms.core import Request
from mms.errors import BadRequest, Conflict, InvalidModel, RequestTimeout, ServerError
from mms.interfaces.seldon.front.graph_calls import image_and_tag
from mms.interfaces.seldon.front.graphs import NodeMissing
from mms.serving import ModelHost, RegisterOptions
from mms.wire import ModelOperation

#: Appends its own name to what it gets.
APPEND = """
import json
def handle(data, context):
    if data is None:
        return None
    answers = []
    for item in data:
        body = item.get("body")
        body = body if isinstance(body, dict) else json.loads(bytes(body))
        answers.append({"meta": {}, "strData": body["strData"] + context.model_name[-1]})
    return answers
"""
FAILS = """
from mms.service import PredictionException
def handle(data, context):
    if data is not None:
        raise PredictionException("it is taken", 409)
"""
#: Says that it runs, then waits until it is told to go on.
HOLDS = """
import pathlib, time
def handle(data, context):
    if data is None:
        return None
    folder = pathlib.Path({folder!r})
    (folder / "running").touch()
    deadline = time.monotonic() + 20
    while not (folder / "go").exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    return [{{"meta": {{}}, "strData": "held"}} for _ in data]
"""


def ask(
    host: ModelHost,
    name: str,
    document: Any = None,
    *,
    operation: str = "predict",
    deadline: float = 0.0,
) -> tuple[Request, asyncio.Future[Any]]:
    answer = AwaitedReply(json.loads, raises=True)
    request = make_request(
        name,
        answer,
        json.dumps({"strData": "x"} if document is None else document).encode(),
        content_type=b"application/json",
        headers=b"Host\nx",
        operation=ModelOperation(operation),
        deadline=deadline,
    )
    host.submit(request)
    return request, answer.done


async def answered(host: ModelHost, name: str, **more: Any) -> Any:
    return await asyncio.wait_for(ask(host, name, **more)[1], 20)


def write_graph(bench: Any, document: object, file: str = "g.yaml") -> str:
    (bench.store / file).parent.mkdir(exist_ok=True)
    (bench.store / file).write_text(json.dumps(document), encoding="utf-8")
    return file


def chain(*names: str) -> dict[str, Any]:
    found: dict[str, Any] = {"name": names[-1], "type": "MODEL"}
    for name in reversed(names[:-1]):
        found = {"name": name, "type": "MODEL", "children": [found]}
    return found


def predictor(graph: object, **more: Any) -> dict[str, Any]:
    return {"name": "main", "graph": graph, **more}


@pytest.fixture
async def chained(bench: Any) -> Any:
    """The nodes a and b, and the graph g of both."""
    for name in ("a", "b"):
        await bench.register(name, APPEND)
    await bench.host.register(
        RegisterOptions(write_graph(bench, predictor(chain("a", "b"))), model_name="g")
    )
    return bench


async def test_a_graph_of_models_answers_as_one_model(chained: Any) -> None:
    status, reply = await answered(chained.host, "g")
    assert (status, reply["strData"]) == (200, "xab")
    assert reply["meta"]["routing"] == {"a": -1, "b": -1}


async def test_a_graphs_name_is_the_deployments_then_the_predictors_then_the_files(
    chained: Any,
) -> None:
    deployment = {
        "kind": "SeldonDeployment",
        "metadata": {"name": "deployed"},
        "spec": {"predictors": [predictor(chain("a"))]},
    }
    for document in (deployment, predictor(chain("a")), chain("a")):
        await chained.host.register(RegisterOptions(write_graph(chained, document, "file.yaml")))
    assert {"deployed", "main", "file"} <= {name for name, _ in chained.host.list_models()}


async def test_a_predictor_is_chosen_at_registration(chained: Any) -> None:
    document = {
        "predictors": [
            {"name": "one", "graph": chain("a"), "traffic": 100},
            {"name": "two", "graph": chain("b"), "traffic": 0},
        ]
    }
    url = write_graph(chained, document, "two.yaml")
    await chained.host.register(RegisterOptions(url, model_name="first"))
    await chained.host.register(
        RegisterOptions.of_members({"url": url, "model_name": "second", "predictor": "two"})
    )
    replies = [(await answered(chained.host, name))[1] for name in ("first", "second")]
    assert [reply["strData"] for reply in replies] == ["xa", "xb"]


async def test_a_folder_with_a_graph_and_no_handler_is_a_graph(chained: Any) -> None:
    write_graph(chained, chain("a"), "packed/graph.yaml")
    await chained.host.register(RegisterOptions("packed"))
    assert (await answered(chained.host, "packed"))[1]["strData"] == "xa"


async def test_an_archive_whose_handler_is_a_document_is_a_graph_with_a_version(
    chained: Any,
) -> None:
    url = chained.write("packed", "", "2.0")
    folder: Path = chained.store / url
    manifest = json.loads((folder / "MAR-INF/MANIFEST.json").read_text())
    manifest["model"]["handler"] = "iris.yaml"
    (folder / "MAR-INF/MANIFEST.json").write_text(json.dumps(manifest))
    with pytest.raises(InvalidModel, match=r"no file iris\.yaml"):
        await chained.host.register(RegisterOptions(url))
    folder.joinpath("iris.yaml").write_text(json.dumps(chain("a")), encoding="utf-8")
    await chained.host.register(RegisterOptions(url))
    assert chained.described("packed")["modelVersion"] == "2.0"
    assert (await answered(chained.host, "packed"))[1]["strData"] == "xa"


async def test_a_nodes_own_model_comes_before_the_one_of_its_plain_name(bench: Any) -> None:
    await bench.register("a", APPEND)
    await bench.register("g.a", APPEND.replace("context.model_name[-1]", "'own'"))
    await bench.host.register(RegisterOptions(write_graph(bench, chain("a")), model_name="g"))
    assert (await answered(bench.host, "g"))[1]["strData"] == "xown"


async def test_an_error_of_a_node_keeps_its_status(bench: Any) -> None:
    await bench.register("a", FAILS)
    await bench.host.register(RegisterOptions(write_graph(bench, chain("a")), model_name="g"))
    with pytest.raises(ServerError, match="it is taken") as caught:
        await answered(bench.host, "g")
    assert caught.value.http_status == 409


async def test_a_handler_of_mms_has_predict_alone(bench: Any) -> None:
    await bench.register("a", APPEND)
    bench.host.registry.get("a").interface = "mms"
    tree = {"name": "a", "type": "TRANSFORMER"}
    await bench.host.register(RegisterOptions(write_graph(bench, tree), model_name="g"))
    with pytest.raises(ServerError, match="Node a is an MMS handler, .* not transform-input"):
        await answered(bench.host, "g")


async def test_a_call_that_graphs_do_not_have_is_refused_by_its_name(chained: Any) -> None:
    with pytest.raises(BadRequest, match="g is a graph: .* not route"):
        await answered(chained.host, "g", operation="route")


# Refusals at load


async def test_a_node_that_is_no_model_is_refused_by_its_name_and_leaves_nothing(
    bench: Any,
) -> None:
    with pytest.raises(NodeMissing, match="Node 'a' of the graph g is not a model of this server"):
        await bench.host.register(RegisterOptions(write_graph(bench, chain("a")), model_name="g"))
    assert bench.host.list_models() == []
    assert list((bench.folder / "models").iterdir()) == []


async def test_a_graph_with_the_name_of_its_node_is_refused(chained: Any) -> None:
    url = write_graph(chained, chain("c"), "c.yaml")
    with pytest.raises(InvalidModel, match="Node 'c' has the name of its graph"):
        await chained.host.register(RegisterOptions(url, model_name="c"))


async def test_a_graph_is_no_node_of_another_graph(chained: Any) -> None:
    url = write_graph(chained, chain("g"), "outer.yaml")
    with pytest.raises(InvalidModel, match="Node 'g' is itself a graph"):
        await chained.host.register(RegisterOptions(url, model_name="outer"))


async def test_a_graph_may_not_take_the_place_of_a_node(chained: Any) -> None:
    url = write_graph(chained, chain("b"), "a.yaml")
    with pytest.raises(Conflict):
        await chained.host.register(RegisterOptions(url, model_name="a"))


async def test_an_endpoint_that_the_allowed_urls_do_not_allow_is_refused(
    make_bench: Callable[..., Awaitable[Any]],
) -> None:
    bench = await make_bench(allowed_urls=("http://good:[0-9]+",))
    for host, is_allowed in (("good", True), ("bad", False)):
        tree = {**chain("a"), "endpoint": {"service_host": host, "service_port": 9000}}
        options = RegisterOptions(write_graph(bench, tree), model_name=host)
        if is_allowed:
            await bench.host.register(options)
        else:
            with pytest.raises(BadRequest, match="http://bad:9000 does not match"):
                await bench.host.register(options)


@pytest.mark.parametrize(
    ("implementation", "told"),
    [("TRITON_SERVER", "there are SKLEARN_SERVER"), ("SKLEARN_SERVER", "nowhere")],
)
async def test_a_server_that_cannot_be_loaded_is_refused(
    bench: Any, implementation: str, told: str
) -> None:
    tree = {**chain("a"), "implementation": implementation, "modelUri": "file:///nowhere"}
    with pytest.raises(ServerError, match=told):
        await bench.host.register(RegisterOptions(write_graph(bench, tree), model_name="g"))
    assert bench.host.list_models() == []


# Guarding, showing


async def test_a_model_that_a_graph_uses_is_not_unregistered(chained: Any) -> None:
    with pytest.raises(Conflict, match="Model a is used by the graph g"):
        await chained.host.unregister("a")
    await chained.host.unregister("g")
    await chained.host.unregister("a")


async def test_another_version_of_a_node_may_go_and_the_default_one_answers(bench: Any) -> None:
    await bench.register("a", APPEND, version="1")
    await bench.register("a", APPEND.replace("context.model_name[-1]", "'2'"), version="2")
    await bench.host.register(RegisterOptions(write_graph(bench, chain("a")), model_name="g"))
    assert (await answered(bench.host, "g"))[1]["strData"] == "xa"
    await bench.host.set_default("a", "2")
    assert (await answered(bench.host, "g"))[1]["strData"] == "x2"
    await bench.host.unregister("a", "1")
    with pytest.raises(Conflict):
        await bench.host.unregister("a", "2")


async def test_a_graph_is_described_with_its_nodes_and_their_state(chained: Any) -> None:
    shown = chained.described("g")["graph"]
    assert shown["state"] == "READY"
    assert [(node["name"], node["type"], node["state"]) for node in shown["nodes"]] == [
        ("a", "MODEL", "READY"),
        ("b", "MODEL", "READY"),
    ]
    await chained.host.scale("b", None, 0, 0, True)
    shown = chained.described("g")["graph"]
    assert (shown["state"], shown["nodes"][1]["state"]) == ("UNREADY", "UNREADY")
    assert not chained.host.is_ready("g")
    with pytest.raises(ServerError, match="no worker has loaded b"):
        await answered(chained.host, "g", operation="health-status")


async def test_a_graph_has_no_workers_to_scale(chained: Any) -> None:
    with pytest.raises(BadRequest, match="g is a graph, which has no workers"):
        await chained.host.scale("g", None, 1, 1, True)


async def test_the_nodes_of_a_graph_are_no_candidates_for_the_root(chained: Any) -> None:
    chained.host.registry.get("a").interface = "seldon"
    assert chained.host.names_of_interface("seldon") == ["g"]


async def test_a_graph_named_before_its_nodes_is_loaded_at_start(
    make_bench: Callable[..., Awaitable[Any]],
) -> None:
    bench = await make_bench(
        load_models="g.yaml,a,lost.yaml",
        default_workers_per_model=1,
    )
    bench.write("a", APPEND)
    write_graph(bench, predictor(chain("a")))
    write_graph(bench, chain("nobody"), "lost.yaml")
    await bench.host.load_startup_models()
    assert [name for name, _ in bench.host.list_models()] == ["a", "main"]
    await until(lambda: bench.host.is_ready("main"))
    assert (await answered(bench.host, "main"))[1]["strData"] == "xa"


# Deadlines, cancellation, the end


@pytest.fixture
async def held(bench: Any) -> Any:
    """The graph g, whose node a runs until the file `go` is there."""
    await bench.register("a", HOLDS.format(folder=str(bench.folder)))
    await bench.register("b", APPEND)
    await bench.host.register(RegisterOptions(write_graph(bench, chain("a", "b")), model_name="g"))
    yield bench
    (bench.folder / "go").touch()


async def test_a_requests_deadline_covers_all_of_its_nodes(held: Any) -> None:
    _, done = ask(held.host, "g", deadline=time.monotonic() + 0.3)
    with pytest.raises(RequestTimeout, match="deadline passed while the graph g"):
        await asyncio.wait_for(done, 10)
    await until(lambda: held.described("g")["graph"]["runningRequests"] == 0)


async def test_a_nodes_timeout_of_the_document_ends_its_call(bench: Any) -> None:
    await bench.register("a", HOLDS.format(folder=str(bench.folder)))
    document = predictor(chain("a"), annotations={"seldon.io/rest-timeout": "200"})
    await bench.host.register(RegisterOptions(write_graph(bench, document), model_name="g"))
    with pytest.raises(RequestTimeout, match=r"Node a did not answer within 0\.2 seconds"):
        await answered(bench.host, "g")
    (bench.folder / "go").touch()


async def test_a_client_that_leaves_takes_its_nodes_requests_along(held: Any) -> None:
    running, _ = ask(held.host, "g")
    await until((held.folder / "running").exists)
    waiting, done = ask(held.host, "g")
    queue = held.host.registry.get("a").model
    await until(lambda: queue.waiting == 1)
    held.host.cancel(waiting)
    await until(lambda: queue.waiting == 0)
    assert not done.done()
    held.host.cancel(running)
    await until(lambda: held.described("g")["graph"]["runningRequests"] == 0)


async def test_what_a_graph_has_accepted_is_answered_before_it_goes(held: Any) -> None:
    _, done = ask(held.host, "g", {"strData": "x"})
    await until((held.folder / "running").exists)
    ending = asyncio.ensure_future(held.host.drain(20))
    await until(lambda: held.host.registry.get("g")._is_closed)
    (held.folder / "go").touch()
    assert (await asyncio.wait_for(done, 20))[1]["strData"] == "heldb"
    assert await ending


async def test_a_graph_that_cannot_be_drained_in_time_is_back(held: Any) -> None:
    held.settings.unregister_model_timeout = 0
    _, done = ask(held.host, "g")
    await until((held.folder / "running").exists)
    with pytest.raises(RequestTimeout):
        await held.host.unregister("g")
    with pytest.raises(ServerError, match="was removed"):
        await asyncio.wait_for(done, 5)
    (held.folder / "go").touch()
    assert (await answered(held.host, "g"))[0] == 200


async def test_a_client_that_leaves_before_anything_was_done_leaves_nothing_behind(
    chained: Any,
) -> None:
    request, done = ask(chained.host, "g")
    chained.host.cancel(request)
    await until(lambda: chained.described("g")["graph"]["runningRequests"] == 0)
    assert not done.done()


@pytest.mark.parametrize(
    ("image", "parts"),
    [
        ("repo/a:0.1", ("repo/a", "0.1")),
        ("localhost:32000/a:0.1", ("localhost:32000/a", "0.1")),
        ("localhost:32000/a", ("localhost:32000/a", "")),
        ("a", ("a", "")),
        ("", ("", "")),
    ],
)
def test_an_image_is_cut_before_its_tag(image: str, parts: tuple[str, str]) -> None:
    assert image_and_tag(image) == parts


async def test_a_request_path_names_the_version_that_answers(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = []
    submit = bench.host.submit_nested

    def note_image(request: Request) -> None:
        images.append(request.operation.node.image)
        submit(request)

    monkeypatch.setattr(bench.host, "submit_nested", note_image)
    await bench.register("a", APPEND, version="1")
    await bench.register("a", APPEND, version="2")
    for version in ("1", "2"):
        bench.host.registry.get("a", version).interface = "seldon"
    await bench.host.register(RegisterOptions(write_graph(bench, chain("a")), model_name="g"))
    await answered(bench.host, "g")
    await bench.host.set_default("a", "2")
    await answered(bench.host, "g")
    assert images == ["a:1", "a:2"]
