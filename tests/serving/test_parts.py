"""What a registration says of how models run reaches every model that it registers."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

import pytest

from mms.core import Request
from mms.serving import RegisterOptions

CODE = """
import mlrun
class Model(mlrun.serving.V2ModelServer):
    def load(self): pass
    def predict(self, request): return request["inputs"]
class Step:
    def do(self, event): return event
"""
ROUTER = {
    "graph": {
        "kind": "router",
        "routes": {
            "a": {"class_name": "Model", "class_args": {"own": 1, "shared": "step"}},
            "b": {"class_name": "Model"},
        },
    }
}
FLOW = {
    "graph": {
        "kind": "flow",
        "steps": {
            "first": {"class_name": "Step", "after": []},
            "r": {
                "kind": "router",
                "after": ["first"],
                "routes": {"c": {"class_name": "Model"}},
            },
        },
    }
}
ASKED: dict[str, Any] = {
    "batch_size": 4,
    "max_batch_delay_ms": 7,
    "batch_policy": "fixed",
    "retry": False,
    "response_timeout_s": 11.0,
    "load_timeout_s": 12.0,
    "request_timeout_s": 13.0,
    "max_queue_time_ms": 1500,
    "initialize_errors": "ignore",
    "preload_model": True,
    "row_batching": True,
    "runtime": "python3",
}


def check_runs_as_asked(served: Any) -> None:
    config = served.model.config
    assert (config.batch_size, config.max_batch_delay_s) == (4, 0.007)
    assert (config.batch_policy, config.has_retry) == ("fixed", False)
    assert (config.response_timeout_s, config.request_timeout_s) == (11.0, 13.0)
    assert (config.max_queue_s, served.load_timeout_s) == (1.5, 12.0)
    effective = served.effective
    assert (effective.initialize_errors, effective.preload_model) == ("ignore", True)
    assert (effective.seldon.row_batching, served.runtime) == (True, "python3")


@pytest.mark.parametrize(("spec", "parts"), [(ROUTER, {"a", "b"}), (FLOW, {"c", "fn"})])
async def test_models_of_a_function_run_as_its_registration_says(bench, spec, parts):
    mlrun = {
        "nan_policy": "keep",
        "class_args": {"shared": "registration", "more": 2},
        "function_parameters": {"p": 1},
    }
    spec = {**spec, "code": CODE, "filename": "f.py", "parameters": {"p": 0, "q": 2}}
    options = RegisterOptions.of_members(
        {"model_name": "fn", "serving_spec": spec, "initial_workers": 0, "mlrun": mlrun, **ASKED}
    )
    await bench.host.register(options)
    found = {served.name: served for served in bench.host.registry.all()}
    for name in parts:
        check_runs_as_asked(found[name])
        assert found[name].options.asked.value_of("nan_policy") == "keep"
        assert found[name].options.asked.mlrun.function_parameters == {"p": 1, "q": 2}
        assert found[name].options.asked.mlrun.class_args["more"] == 2
    if "a" in found:
        arguments = found["a"].options.asked.mlrun.class_args
        assert arguments == {"own": 1, "shared": "step", "more": 2}


async def test_servers_that_a_graph_registers_run_as_its_registration_says(bench):
    (bench.store / "files").mkdir()
    graph = {
        "name": "g",
        "graph": {"name": "n", "implementation": "SKLEARN_SERVER", "modelUri": "files"},
    }
    (bench.store / "g.yaml").write_text(json.dumps(graph))
    await bench.host.register(
        RegisterOptions.of_members({"url": "g.yaml", "initial_workers": 0, **ASKED})
    )
    check_runs_as_asked(bench.host.registry.get("g.n"))


async def test_a_graph_s_own_request_timeout_is_its_requests_deadline(bench):
    bench.write("slow", "import time\ndef handle(d, c):\n    return d and time.sleep(1.5)\n")
    await bench.host.register(RegisterOptions("slow", initial_workers=1))
    (bench.store / "g.yaml").write_text("name: g\ngraph: {name: slow}\n")
    await bench.host.register(RegisterOptions("g.yaml", request_timeout_s=0.2))
    assert bench.described("g")["requestTimeout"] == 0.2
    request, reply = bench.submit("g", b"{}")
    assert isinstance(request, Request)
    status, text = await reply.done
    assert status == 408
    assert b"deadline passed" in text
    await bench.host.scale("slow", None, 0, 0, False)


def test_a_part_is_itself_another_model_and_runs_the_same():
    named = {"url": "u", "handler": "h", "sha256": "0", "parameters": [1], "model_path": "p"}
    whole = RegisterOptions.of_members({**named, **ASKED})
    part = whole.of_part(model_name="p")
    differs = {f.name for f in fields(whole) if getattr(whole, f.name) != getattr(part, f.name)}
    assert differs == {"url", "handler", "sha256", "parameters", "mlrun", "model_name"}
