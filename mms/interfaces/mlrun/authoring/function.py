"""Serving functions: a graph of models and steps, its code and its parameters, tested here and deployed from here."""

from __future__ import annotations

import os
import sys
from typing import Any

from mms.interfaces.mlrun.authoring.callers import caller_globals
from mms.interfaces.mlrun.authoring.function_parts import (
    OF_KUBERNETES,
    FunctionStatus,
    Metadata,
    ServingSpec,
)
from mms.interfaces.mlrun.errors import MLRunInvalidArgumentError
from mms.interfaces.mlrun.graph.graph_server import GraphServer, create_graph_server
from mms.interfaces.mlrun.model.model_server import LOAD_MODES
from mms.interfaces.mlrun.model.options import MOCK_VARIABLE


class ServingFunction:
    """A function of kind `serving`. Built up, then tested with `to_mock_server` or brought up with `deploy`."""

    kind = "serving"

    def __init__(self, name: str = "", project: str = "", tag: str = "") -> None:
        self.metadata = Metadata(name, project, tag)
        self.spec = ServingSpec()
        self.status = FunctionStatus()
        self.verbose = False
        self._mock_server: GraphServer | None = None
        self._is_mock = False
        self._parent: ServingFunction | None = None
        self._globals: dict[str, Any] | None = None

    def __repr__(self) -> str:
        return f"<ServingFunction {self.uri}>"

    def __getattr__(self, name: str) -> Any:
        if name in OF_KUBERNETES:
            return self._without_effect
        raise AttributeError(f"serving functions have no {name} here")

    @property
    def uri(self) -> str:
        """`<project>/<name>[:<tag>]`."""
        tag = f":{self.metadata.tag}" if self.metadata.tag else ""
        return f"{self.metadata.project}/{self.metadata.name}{tag}"

    # Building

    def set_topology(
        self,
        topology: str | None = None,
        class_name: Any = None,
        engine: str | None = None,
        exist_ok: bool = False,
        **class_args: Any,
    ) -> Any:
        """Set what kind of graph the function has, and return it, empty.

        `router`: of a class (its name, or an object), made with `class_args`. `flow`: of an engine.
        Raises MLRunInvalidArgumentError where there is a graph already, unless `exist_ok`.
        """
        from mms.interfaces.mlrun.graph.graph_document import new_graph

        if self.spec.graph is not None and not exist_ok:
            raise MLRunInvalidArgumentError("graph topology is already set, cannot be overwritten")
        self.spec.graph = new_graph(topology or "router", class_name, engine, **class_args)
        return self.spec.graph

    def add_model(
        self,
        key: str,
        model_path: Any = None,
        class_name: Any = None,
        model_url: str | None = None,
        handler: str | None = None,
        router_step: str | None = None,
        child_function: str | None = None,
        creation_strategy: Any = None,
        outputs: list[str] | None = None,
        **class_args: Any,
    ) -> Any:
        """Add a model to the function's router, and return its route.

        `key`: `<name>` or `<name>:<version>`. `class_name`: a name, or an object of the class as a template.
        `model_url`: of a model that another server has, in place of a class. `class_args`: for the constructor and
        `get_param`. `router_step`: which router of a flow. Raises ValueError.
        """
        if self.spec.graph is None:
            self.set_topology("router")
        router = self._router(router_step)
        if outputs:
            class_args["outputs"] = outputs
        if model_url:
            # A model that is asked elsewhere takes what calls take.
            return router.add_route(
                key, class_name="$remote", function=child_function, url=str(model_url), **class_args
            )
        class_name = class_name or self.spec.default_class
        if isinstance(class_name, type):
            raise ValueError(
                "class name must be a string (name of module.submodule.name), not the class "
                f"{class_name.__name__} itself"
            )
        if class_name is None and handler is None:
            if model_path is None:
                raise ValueError("model_path or model_url must be provided")
            raise ValueError("model_path must be provided with class_name")
        if model_path is not None:
            class_args["model_path"] = str(model_path)
        return router.add_route(
            key, class_name=class_name, handler=handler, function=child_function, **class_args
        )

    def plot(self, *_: Any, **__: Any) -> None:
        """See `BaseStep.plot`."""
        if self.spec.graph is not None:
            self.spec.graph.plot()

    def set_tracking(
        self,
        stream_path: str | None = None,
        batch: int | None = None,
        sample: int | None = None,
        stream_args: dict[str, Any] | None = None,
        tracking_policy: Any = None,
        enable_tracking: bool = True,
        sampling_percentage: float | None = None,
    ) -> None:
        """Have records of requests sent to a stream: `sample` every so many requests, `batch` so many at a time.

        `sampling_percentage` (0 to 100) in place of `sample`. Raises MLRunInvalidArgumentError.
        """
        self.spec.track_models = enable_tracking
        if not enable_tracking:
            # A stream among the parameters alone would switch it on.
            self.spec.parameters.pop("log_stream", None)
            return
        if sampling_percentage is not None:
            if not 0 < sampling_percentage <= 100:
                raise MLRunInvalidArgumentError(
                    f"sampling_percentage is {sampling_percentage}, but must be above 0 and at most 100"
                )
            sample = round(100 / sampling_percentage)
        given = {
            "log_stream": stream_path,
            "log_stream_batch": batch,
            "log_stream_sample": sample,
            "stream_args": stream_args,
        }
        self.spec.parameters.update({name: value for name, value in given.items() if value})
        self.spec.tracking_policy = tracking_policy

    def with_secrets(self, kind: str, source: Any) -> ServingFunction:
        """Add a source of secrets: `inline` (a dict), `env` (names), `file` (a path).

        Raises MLRunInvalidArgumentError.
        """
        from mms.interfaces.mlrun.files.secrets import KINDS

        if kind not in KINDS:
            raise MLRunInvalidArgumentError(
                f"secrets of kind {kind} are not known, only those of {', '.join(KINDS)}"
            )
        self.spec.secret_sources.append({"kind": kind, "source": source})
        return self

    def with_code(
        self, from_file: str = "", body: str | None = None, with_doc: bool = True
    ) -> ServingFunction:
        """Set the function's code: a file (.py or .ipynb), or its text."""
        if (not from_file) == (body is None):
            raise MLRunInvalidArgumentError("with_code() needs either from_file= or body=")
        self.spec.command = from_file
        self.spec.code = body
        return self

    def with_source_archive(self, source: str, *args: Any, **kwargs: Any) -> ServingFunction:
        """Set the function's source: a folder or file of this machine, where modules are searched for."""
        if "://" in source:
            raise MLRunInvalidArgumentError(
                f"{source} is not on this machine: with_code(file) takes a file"
            )
        self.spec.workdir = source
        return self

    def apply(self, modify: Any) -> Any:
        """Return what a modifier makes of the function; those of `mlrun.mount_...()` leave it as it is."""
        return modify(self)

    def with_http(self, workers: int | None = None, *_: Any, **__: Any) -> ServingFunction:
        """Set how many requests each replica takes at a time: so many workers have its models."""
        self.spec.http_workers = workers
        return self

    def set_env(self, name: str, value: Any = None, value_from: Any = None) -> ServingFunction:
        """Set a variable of the deployed function's processes."""
        self.spec.env[name] = "" if value is None else str(value)
        return self

    def set_envs(
        self, env_vars: dict[str, Any] | None = None, file_path: str | None = None
    ) -> ServingFunction:
        """Set variables: of a dict, and of a file with lines name=value."""
        if file_path:
            from mms.interfaces.mlrun.files.secrets import read_env_file

            for name, value in read_env_file(file_path).items():
                self.set_env(name, value)
        for name, value in (env_vars or {}).items():
            self.set_env(name, value)
        return self

    def get_env(self, name: str, default: Any = None) -> Any:
        return self.spec.env.get(name, default)

    def add_child_function(
        self,
        name: str,
        url: str | None = None,
        image: str | None = None,
        requirements: Any = None,
        kind: str | None = None,
    ) -> ServingFunction:
        """Add a function that steps of the graph name (`function=`). In the mock server all of them run here."""
        child = ServingFunction(name, self.metadata.project)
        child._parent = self
        child.spec.command = url or ""
        self.spec.function_refs[name] = child
        return child

    # Testing

    def to_mock_server(
        self,
        namespace: Any = None,
        current_function: str = "*",
        track_models: bool = False,
        workdir: str | None = None,
        stream_profile: Any = None,
        **kwargs: Any,
    ) -> GraphServer:
        """Return the function in this process, its models loaded.

        Classes are looked for in `namespace` (a module, a dict, or a list of them), in the function's code, which is
        run as a module, where this is called, and among what can be imported. The function itself is not changed.
        """
        self._check_load_mode()
        from mms.interfaces.mlrun.authoring.function_document import copy_of_graph

        caller = caller_globals()
        names = self._namespace(namespace, workdir)
        names.append(caller)
        if self._globals is not None and self._globals is not caller:
            names.append(self._globals)
        if self.spec.graph is None:
            raise MLRunInvalidArgumentError(
                f"function {self.uri} has no graph: set_topology() or add_model() makes one"
            )
        spec = self.spec
        server = create_graph_server(
            parameters=dict(spec.parameters),
            load_mode=spec.load_mode,
            graph=copy_of_graph(spec.graph),
            verbose=self.verbose,
            current_function=current_function,
            function_uri=self.uri,
            functions={name: child.uri for name, child in spec.function_refs.items()},
            graph_initializer=spec.graph_initializer,
            error_stream=spec.error_stream,
            track_models=spec.track_models or track_models or None,
            tracking_policy=spec.tracking_policy,
            secret_sources=spec.secret_sources,
            default_content_type=spec.default_content_type,
            **kwargs,
        )
        server.init_states(None, names, is_mock=True, monitoring_mock=track_models)
        server.init_object(names)
        return server

    def invoke(
        self,
        path: str = "",
        body: Any = None,
        method: str | None = None,
        headers: dict[str, Any] | None = None,
        force_external_address: bool = False,
        auth_info: Any = None,
        mock: bool | None = None,
        **http_client_kwargs: Any,
    ) -> Any:
        """Ask the function: where it is deployed, or (`mock`) in this process. The answer's value.

        Raises RuntimeError for an answer that is an error, MLRunInvalidArgumentError where it is not deployed.
        """
        if mock is None:
            mock = self._is_mocked()
        if mock:
            if self._mock_server is None:
                self._mock_server = self.to_mock_server()
            if "://" in path:
                from urllib.parse import urlsplit

                path = urlsplit(path).path
            return self._mock_server.test(path or "/", body, method or "", headers)
        from mms.interfaces.mlrun.authoring.deploying import ask_function, is_post, path_of_function

        address = self.status.address
        if "://" not in path and not address:
            raise MLRunInvalidArgumentError(
                f"function {self.uri} is not deployed: deploy() comes first, or mock=True asks it here"
            )
        if self.status.management_address and "://" not in path:
            from mms.interfaces.mlrun.graph.steps.base import StepKinds

            if not path.strip("/") and not is_post(method, body):
                graph = self.spec.graph
                # What a router answers there; in the server the path of its name alone is a model's.
                path = "/v2/health" if graph is None or graph.kind == StepKinds.router else path
            path = path_of_function(self.metadata.name or "function", path)
        return ask_function(address, path, body, method, headers, **http_client_kwargs)

    # Deploying

    def deploy(
        self,
        project: str = "",
        tag: str = "",
        verbose: bool = False,
        auth_info: Any = None,
        builder_env: Any = None,
        force_build: bool = False,
        *,
        mock: bool | None = None,
        management_address: str | None = None,
        inference_address: str | None = None,
        workers: int | None = None,
    ) -> str:
        """Have a server of this machine serve the function, and return the address where it answers.

        The server at the management address gets the function, in the place of one of the same name; where none
        answers, one is started, which outlives this process. Without addresses those of the variables
        MMS_MANAGEMENT_ADDRESS and MMS_INFERENCE_ADDRESS count, else where a server listens by default.
        `workers`: of each model, in place of what the spec says of replicas.
        Raises RuntimeError for a server that refuses it or does not come up, with its reason.
        """
        if project:
            self.metadata.project = project
        if tag:
            self.metadata.tag = tag
        self.verbose = self.verbose or verbose
        if mock if mock is not None else os.environ.get(MOCK_VARIABLE) in ("1", "auto"):
            self._set_as_mock(True)
            return ""
        from mms.interfaces.mlrun.authoring.deploying import Deployment
        from mms.interfaces.mlrun.authoring.function_document import (
            check_can_leave,
            serving_spec_of,
            set_absolute_paths,
        )

        deployment = Deployment(management_address, inference_address)
        self._check_load_mode()
        spec = serving_spec_of(self)
        set_absolute_paths(spec, os.getcwd())
        check_can_leave(spec, self)
        self.status.address = deployment.deploy(
            self.metadata.name or "function",
            spec.to_document(),
            workers or spec.workers or 1,
            self.spec.env,
            self.spec.readiness_timeout,
        )
        self.status.management_address = deployment.management_address
        self.status.state = "ready"
        self._is_mock = False
        return self.status.address

    def to_serving_spec(self) -> dict[str, Any]:
        """Return the document that a server makes the function of, with its code. Raises MLRunInvalidArgumentError."""
        from mms.interfaces.mlrun.authoring.function_document import serving_spec_of

        self._check_load_mode()
        return serving_spec_of(self).to_document()

    def export_serving_spec(self, target: str = "serving_spec.json") -> str:
        """Write the document to a file, which `mms mlrun <file>` serves, and return the file's path.

        Raises MLRunInvalidArgumentError for what JSON cannot hold, OSError.
        """
        from mms.bodies.json_text import to_json

        try:
            text = to_json(self.to_serving_spec())
        except TypeError as error:
            raise MLRunInvalidArgumentError(
                f"function {self.uri} cannot be written as JSON: {error}"
            ) from error
        with open(target, "wb") as file:
            file.write(text)
        return target

    def to_dict(
        self, fields: Any = None, exclude: Any = None, strip: bool = False
    ) -> dict[str, Any]:
        """Return the function's document, as `export` writes it."""
        from mms.interfaces.mlrun.authoring.function_document import document_of

        return document_of(self, tuple(exclude or ()))

    def to_yaml(self, exclude: Any = None, strip: bool = False) -> str:
        from mms.bodies.json_text import yaml_of_json

        return yaml_of_json(self.to_json(exclude))

    def to_json(self, exclude: Any = None, strip: bool = False) -> str:
        from mms.bodies.json_text import to_json

        return to_json(self.to_dict(exclude=exclude)).decode()

    def export(
        self, target: str = "", format: str = ".yaml", secrets: Any = None, strip: bool = True
    ) -> ServingFunction:
        """Write the function's document to a file: `function.yaml`, unless `target` names another."""
        target = target or f"function{format}"
        if target.endswith(("/", os.sep)):
            target = os.path.join(target, f"function{format}")
        text = self.to_json() if target.endswith(".json") else self.to_yaml()
        with open(target, "w", encoding="utf-8") as file:
            file.write(text)
        return self

    def save(self, tag: str = "", versioned: bool = False, refresh: bool = False) -> str:
        """Return the function's address. No database keeps it here: `export` writes it to a file."""
        if tag:
            self.metadata.tag = tag
        return self.uri

    def _set_as_mock(self, enable: bool) -> None:
        self._is_mock = enable
        self._mock_server = self.to_mock_server() if enable else None

    def _is_mocked(self) -> bool:
        if self._is_mock:
            return True
        wanted = os.environ.get(MOCK_VARIABLE, "")
        return wanted == "1" or (wanted == "auto" and not self.status.address)

    def _check_load_mode(self) -> None:
        if self.spec.load_mode and self.spec.load_mode not in LOAD_MODES:
            raise MLRunInvalidArgumentError(
                f"illegal model loading mode {self.spec.load_mode}, must be one of {', '.join(LOAD_MODES)}"
            )

    def _router(self, router_step: str | None) -> Any:
        from mms.interfaces.mlrun.graph.steps.base import StepKinds

        graph = self.spec.graph
        if graph.kind == StepKinds.router:
            return graph
        if router_step:
            if router_step not in graph:
                raise ValueError(f"router step {router_step} not present in the graph")
            return graph[router_step]
        routers = [step for step in graph.get_children() if step.kind == StepKinds.router]
        if not routers:
            raise ValueError(
                "graph does not contain any router, add_model can only be used with a router"
            )
        if len(routers) > 1:
            names = ", ".join(router.name for router in routers)
            raise ValueError(
                f"found {len(routers)} routers ({names}), please specify the router_step "
                "you would like to add this model to"
            )
        return routers[0]

    def _namespace(self, namespace: Any, workdir: str | None) -> list[Any]:
        from mms.interfaces.mlrun.graph.lookup import as_namespace
        from mms.interfaces.mlrun.spec.code_file import load_module, path_of

        names = as_namespace(namespace)
        folder = workdir or self.spec.workdir
        if folder and folder not in sys.path:
            sys.path.insert(0, folder)
        for function in (self, *self.spec.function_refs.values()):
            if function.spec.code is not None:
                name = function.metadata.name or "function"
                names.append(load_module(None, function.spec.code, name.replace("-", "_")))
            elif function.spec.command:
                names.append(load_module(path_of(folder, function.spec.command)))
        return names

    def _without_effect(self, *args: Any, **kwargs: Any) -> ServingFunction:
        return self
