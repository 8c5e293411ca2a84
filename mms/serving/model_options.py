"""What a model is loaded as: its archive's extensions with what its registration asks for in their place."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from archiver import Component, InvalidComponent, Manifest, uri_scheme
from mms.errors import BadRequest, InvalidModel
from mms.prepackaged import PREPACKAGED
from mms.serving.options import RegisterOptions

if TYPE_CHECKING:
    from mms.settings import Settings


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """How a model's workers load it.

    `interface` is `auto` where only the worker can find it. `model_uri` is as it was named, `component.model_uri` too;
    where its files are is known once they have been fetched.
    """

    interface: str
    component: Component
    #: Takes the place of the manifest's handler.
    handler: str | None
    has_row_batching: bool = False
    #: None: the setting.
    validates_inputs: bool | None = None
    #: The file that a component is kept in over restarts.
    persistence_file: str | None = None
    #: Of a model server of MLRun: members of `Load.options` that go before the settings'.
    mlrun: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_worker_graph(self) -> bool:
        """Whether it is a flow, or a router of the user's, that runs in workers."""
        return bool(self.mlrun.get("graph"))

    @property
    def default_name(self) -> str | None:
        """The name of a model that has no other: the last part of its `model_uri`, for a registered model its own."""
        uri = self.component.model_uri
        if uri is None:
            return None
        if uri_scheme(uri) == "models":
            name = re.split("[/@]", uri.partition(":")[2].lstrip("/"))[0]
        else:
            name = PurePosixPath(uri.partition("?")[0]).name
            name = re.sub(r"(\.zip|\.tar\.gz|\.tgz|\.mar)$", "", name)
        return re.sub(r"[^\w.\-]", "_", name) or None

    def load_options(self, settings: Settings, model_files: Path | None) -> dict[str, Any]:
        """`Load.options`; a member that nobody gave is left out, so that the worker's environment may give it."""
        if self.interface == "mms":
            return {}
        options: dict[str, Any] = {}
        if self.interface != "mlrun":
            options |= self._component_options(settings, model_files)
        if self.interface != "seldon":
            options |= self._server_options(settings, model_files)
        if self.component.parameters:
            options["parameters"] = list(self.component.parameters)
        return options

    def _component_options(self, settings: Settings, model_files: Path | None) -> dict[str, Any]:
        component = self.component
        options: dict[str, Any] = {
            "seldon_shim": settings.seldon_shim,
            "seldon_strict": settings.seldon_strict,
            "row_batching": self.has_row_batching,
            "validate_inputs": (
                settings.validate_inputs if self.validates_inputs is None else self.validates_inputs
            ),
            "model_uri": str(model_files) if model_files is not None else None,
        }
        if component.service_type is not None:
            options["service_type"] = component.service_type
        if self.persistence_file is not None:
            options["persistence_file"] = self.persistence_file
        return options

    def _server_options(self, settings: Settings, model_files: Path | None) -> dict[str, Any]:
        options: dict[str, Any] = {
            "mlrun_shim": settings.mlrun_shim,
            "strict_status": settings.strict_status,
            "nan_policy": settings.nan_policy,
            "data_url": _data_urls(settings),
            "body_operation": settings.mlrun_body_operation,
        }
        if self.has_row_batching:
            options["row_wise"] = True
        if self.component.model_path is not None:
            options["model_path"] = self.component.model_path
        options |= self.mlrun
        if model_files is not None:
            options["model_path"] = str(model_files)
        return options

    def describe(self) -> dict[str, Any]:
        """The members of a model's description that tell of a component; none for a handler of MMS."""
        component = self.component
        members: dict[str, Any] = {
            "serviceType": component.service_type,
            "parameters": list(component.parameters) or None,
            "modelUri": component.model_uri,
            "prepackaged": component.prepackaged,
            "rowBatching": self.has_row_batching or None,
            "validateInputs": self.validates_inputs,
            "modelPath": self.mlrun.get("model_path") or component.model_path,
            "loadMode": self.mlrun.get("load_mode"),
        }
        return {name: value for name, value in members.items() if value is not None}


def _data_urls(settings: Settings) -> Any:
    """False, or by which rules the `data_url` of requests is read."""
    if not settings.mlrun_data_url:
        return False
    networks = settings.allowed_private_addresses
    return {
        "allowed_urls": settings.allowed_urls and list(settings.allowed_urls),
        "allowed_private_addresses": str(networks) if networks is not None else "",
        "max_bytes": settings.max_request_size,
    }


def model_options(options: RegisterOptions, manifest: Manifest) -> ModelOptions:
    """Raises BadRequest for what the registration asks, InvalidModel for what the archive says."""
    try:
        said = Component.of_extensions(manifest.extensions)
    except InvalidComponent as error:
        raise InvalidModel(f"The manifest's extensions are wrong: {error}.") from None
    try:
        asked = Component.of_extensions(
            {
                "interface": options.interface or said.interface or "auto",
                "service_type": options.service_type,
                "parameters": options.parameters,
                "model_uri": options.model_uri,
                "prepackaged": options.prepackaged,
            }
        )
    except InvalidComponent as error:
        raise BadRequest(f"{error}.") from None
    if asked.prepackaged is not None and options.handler:
        raise BadRequest("Parameters handler and prepackaged cannot be used together.")
    if options.handler or options.interface == "mms":
        # Its own class takes the place of the archive's server.
        said = replace(said, prepackaged=None)
    component = said.overridden(asked)
    interface = options.interface or said.interface or "auto"
    handler = None
    if component.prepackaged is not None:
        if interface in ("mms", "mlrun"):
            raise BadRequest(
                f"A prepackaged server such as {component.prepackaged} has the interface seldon."
            )
        interface, handler = "seldon", PREPACKAGED[component.prepackaged]
    return ModelOptions(
        interface=interface,
        component=component,
        handler=handler,
        has_row_batching=bool(options.row_batching),
        validates_inputs=options.validate_inputs,
        persistence_file=options.persistence_file,
        mlrun=dict(options.mlrun),
    )
