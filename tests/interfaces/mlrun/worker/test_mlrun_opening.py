"""How a worker makes and loads a class of MLRun's contract."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from mlrun_served import ServedModel

from mms.worker.log_records.tracebacks import last_line

OpenModel = Callable[..., ServedModel]
LIMIT_S = 20

PLAIN = """
    from mms.interfaces.mlrun.model.model_server import V2ModelServer

    class Model(V2ModelServer):
        def load(self):
            self.model = 1

        def predict(self, request):
            return request["inputs"]
"""


def test_a_model_has_its_archives_folder_as_its_model_path(
    open_model: OpenModel, tmp_path: Path
) -> None:
    assert open_model(PLAIN).server.model_path == str(tmp_path / "model")


def test_a_model_path_that_was_given_goes_before_the_archives(open_model: OpenModel) -> None:
    assert open_model(PLAIN, model_path="s3://bucket/m").server.model_path == "s3://bucket/m"
    assert open_model(PLAIN, model_path="x", model_files="/fetched").server.model_path == "/fetched"
    assert open_model(PLAIN, class_args={"model_path": ""}).server.model_path == ""


def test_parameters_of_the_archive_are_arguments_of_their_types(open_model: OpenModel) -> None:
    parameters = [
        {"name": "a", "value": "5", "type": "INT"},
        {"name": "b", "value": "0.5", "type": "DOUBLE"},
        {"name": "c", "value": "true", "type": "BOOL"},
        {"name": "d", "value": "5", "type": "STRING"},
        {"name": "e", "value": "[1, 2]", "type": "JSON"},
    ]
    server = open_model(PLAIN, parameters=parameters, class_args={"d": 6, "f": None}).server
    found = [server.get_param(name, "none") for name in "abcdefg"]
    assert found == [5, 0.5, True, 6, [1, 2], None, "none"]


def test_a_parameter_that_is_not_of_its_type_is_named(open_model: OpenModel) -> None:
    with pytest.raises(ValueError, match="parameter n: the value 'x' is not a valid INT"):
        open_model(PLAIN, parameters=[{"name": "n", "value": "x", "type": "INT"}])


def test_parameters_of_the_function_are_found_behind_those_of_the_model(
    open_model: OpenModel,
) -> None:
    server = open_model(PLAIN, class_args={"a": 1}, function_parameters={"a": 2, "b": 3}).server
    assert (server.get_param("a"), server.get_param("b")) == (1, 3)


def test_a_constructor_gets_only_what_it_names(open_model: OpenModel) -> None:
    served = open_model(
        """
        from mms.interfaces.mlrun.model.model_server import V2ModelServer

        class Model(V2ModelServer):
            def __init__(self, context, name, model_path, rate):
                super().__init__(context, name, model_path)
                self.rate = rate

            def load(self):
                pass

            def predict(self, request):
                return [self.rate]
        """,
        class_args={"rate": 3},
    )
    assert served.ask("infer", {"inputs": [1]}).outputs == [3]


def test_an_argument_that_a_constructor_does_not_take_is_refused(open_model: OpenModel) -> None:
    source = (
        PLAIN
        + """
        def __init__(self, context, name, model_path):
            super().__init__(context, name, model_path)
    """
    )
    with pytest.raises(TypeError, match="failed to init step m") as found:
        open_model(source, class_args={"rate": 3})
    assert "rate" in str(found.value)


def test_a_class_without_do_event_is_refused(open_model: OpenModel) -> None:
    with pytest.raises(TypeError, match="has no method do_event"):
        open_model(
            "class Model:\n    def __init__(self, model_path): pass\n    def load(self): pass"
        )


def test_a_class_of_the_right_shape_needs_no_base(open_model: OpenModel) -> None:
    served = open_model(
        """
        class Model:
            def __init__(self, context, name, model_path):
                self.context = context

            def load(self):
                self.value = 7

            def predict(self, request):
                return self.value

            def do_event(self, event):
                event.body = {"found": self.predict(event.body)}
                return event
        """
    )
    assert served.ask("infer", {"inputs": [1]}).json() == {"found": 7}


def test_a_load_that_fails_is_an_error_with_its_cause(open_model: OpenModel) -> None:
    with pytest.raises(RuntimeError) as found:
        open_model(PLAIN.replace("self.model = 1", "raise KeyError('weights')"))
    told = "RuntimeError: failed to load model m, caused by: KeyError: 'weights'"
    assert last_line(found.value) == told


def test_a_class_that_cannot_be_made_is_an_error_with_its_cause(open_model: OpenModel) -> None:
    source = (
        PLAIN + "\n        def __init__(self, name):\n            super().__init__(name=name)\n"
    )
    with pytest.raises(TypeError) as found:
        open_model(source, class_args={"threshold": 1})
    assert "unexpected keyword argument" in last_line(found.value).partition("caused by: ")[2]


FIRST_PROTOCOL = """
    import mlrun

    class Model(mlrun.runtimes.MLModelServer):
        def __init__(self, name: str, model_dir: str):
            super().__init__(name, model_dir)
            self.made_with = name, model_dir

        def load(self):
            self.model = self.get_param("factor", 1)

        def predict(self, body):
            return [value * self.model for value in body["instances"]]
"""


def test_a_class_of_the_first_protocol_is_made_of_its_name_and_folder(
    open_model: OpenModel, tmp_path: Path
) -> None:
    served = open_model(FIRST_PROTOCOL, class_args={"factor": 3})
    assert served.server.made_with == ("m", str(tmp_path / "model"))
    assert served.server.context is not None
    assert served.ask("predict", {"instances": [5]}).json() == [15]


@pytest.mark.parametrize(
    "methods",
    [
        "def do(self, body): return {**body, 'by': self.by}",
        "def do_event(self, event): event.body = {**event.body, 'by': self.by}; return event",
    ],
)
def test_a_class_of_a_step_is_a_route_that_gets_no_model_path(
    open_model: OpenModel, methods: str
) -> None:
    source = f"""
        class Model:
            def __init__(self, by):
                self.by = by

            {methods}
    """
    served = open_model(source, class_args={"by": "Model"})
    assert served.ask("infer", {"x": 1}).json() == {"x": 1, "by": "Model"}
    with pytest.raises(TypeError, match="failed to init step m"):
        open_model(source)


def test_a_step_reads_and_writes_where_the_paths_of_its_route_say(open_model: OpenModel) -> None:
    source = """
        class Model:
            def do(self, body):
                return body + 1
    """
    served = open_model(source, input_path="a.b", result_path="c")
    assert served.ask("infer", {"a": {"b": 1}}).json() == {"a": {"b": 1}, "c": 2}


def test_an_unknown_load_mode_is_refused(open_model: OpenModel) -> None:
    with pytest.raises(ValueError, match="illegal model loading mode lazy"):
        open_model(PLAIN, load_mode="lazy")


@pytest.mark.parametrize("handler", ["model:", "model:Other"])
def test_a_handler_without_a_class_in_its_module_is_refused_with_those_there(
    open_model: OpenModel, handler: str
) -> None:
    source = PLAIN + "\n    class Second(Model):\n        pass\n"
    with pytest.raises(ValueError, match="classes there: Model, Second"):
        open_model(source, handler=handler)


def test_a_modules_only_model_server_needs_no_name(open_model: OpenModel) -> None:
    source = PLAIN + "\n    class Helper:\n        pass\n"
    assert open_model(source, handler="model:").ask("infer", {"inputs": [1]}).outputs == [1]


SLOW = """
    import threading
    from mms.interfaces.mlrun.model.model_server import V2ModelServer

    may_load = threading.Event()

    class Model(V2ModelServer):
        gate = may_load

        def load(self):
            assert may_load.wait(20)
            {load}

        def predict(self, request):
            return request["inputs"][0]
"""


def ended(served: ServedModel) -> list[tuple[bool, str]]:
    """What the model's load came to, once it has."""
    has_ended = threading.Event()

    def tell(is_ready: bool, error: str) -> None:
        served.told.append((is_ready, error))
        has_ended.set()

    served.items.start(tell)
    assert served.told == []
    before = served.ask("infer", {"inputs": [5]})
    assert (before.status, before.text) == (400, "RuntimeError: model m is not ready yet")
    assert served.ask("ready", method="GET").status == 408
    type(served.server).gate.set()
    assert has_ended.wait(LIMIT_S)
    return served.told


def test_a_model_that_loads_beside_its_requests_says_when_it_is_ready(
    open_model: OpenModel,
) -> None:
    served = open_model(SLOW.format(load="pass"), load_mode="async")
    states = [served.items.is_ready]
    assert ended(served) == [(True, "")]
    states.append(served.items.is_ready)
    assert states == [False, True]
    assert served.ask("infer", {"inputs": [5]}).outputs == 5
    ready = served.ask("ready", method="GET", headers="MLRUN-EVENT-ID\nE")
    assert (ready.status, ready.text) == (200, "Model m is ready (event_id = E)")


def test_a_load_beside_requests_that_fails_is_told_with_its_reason(open_model: OpenModel) -> None:
    served = open_model(SLOW.format(load="raise OSError('no disk')"), load_mode="async")
    assert ended(served) == [(False, "OSError: no disk")]
    assert not served.items.is_ready
    reply = served.ask("infer", {"inputs": [5]})
    assert reply.status == 400
    assert "no disk" in reply.text


def test_a_load_beside_requests_that_does_not_even_begin_is_told_with_its_reason(
    open_model: OpenModel, capsys: pytest.CaptureFixture[str]
) -> None:
    source = (
        PLAIN
        + """
        def post_init(self, mode="sync"):
            raise KeyError(mode)
    """
    )
    served = open_model(source, load_mode="async")
    served.start()
    assert served.told == [(False, "KeyError: 'async'")]
    assert "post_init" in capsys.readouterr().err


def test_nothing_is_loaded_beside_requests_before_the_process_serves(open_model: OpenModel) -> None:
    others = set(threading.enumerate())
    served = open_model(SLOW.format(load="pass"), load_mode="async")
    begun = set(threading.enumerate()) - others
    assert not any(thread.name.startswith("load-") for thread in begun)
    ended(served)


def test_a_model_that_is_given_its_object_is_ready_at_once(open_model: OpenModel) -> None:
    served = open_model(
        """
        from mms.interfaces.mlrun.model.model_server import V2ModelServer

        class Model(V2ModelServer):
            def __init__(self, *args, **kwargs):
                super().__init__(*args, model=3, **kwargs)

            def predict(self, request):
                return self.model
        """
    )
    assert served.ask("infer", {"inputs": [1]}).outputs == 3


def test_a_class_reaches_the_functions_context(open_model: OpenModel) -> None:
    served = open_model(
        """
        from mms.interfaces.mlrun.model.model_server import V2ModelServer

        class Model(V2ModelServer):
            def load(self):
                self.context.logger.info("loading", size=3)
                self.context.visits = 0

            def op_told(self, event):
                context = self.context
                context.visits += 1
                return [
                    context.project, context.get_secret("token"), context.visits,
                    context.server.parameters, context.is_mock,
                ]
        """,
        function_uri="shop/models:latest",
        secret_sources=[{"kind": "inline", "source": {"token": "t1"}}],
        function_parameters={"a": 1},
    )
    served.ask("told", {"a": 1})
    assert served.ask("told", {"a": 1}).json() == ["shop", "t1", 2, {"a": 1}, False]


def test_a_class_can_end_what_it_began(open_model: OpenModel, tmp_path: Path) -> None:
    source = (
        PLAIN
        + """
        def terminate(self):
            open("ended", "w").close()
    """
    )
    served = open_model(source)
    served.items.close()
    assert (tmp_path / "model" / "ended").exists()
