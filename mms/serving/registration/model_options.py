"""What a model is loaded as: its archive's extensions with what its registration asks for in their place."""

from __future__ import annotations

import re
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
    #: The registration, with what the archive says where it says nothing.
    asked: RegisterOptions = field(default_factory=RegisterOptions)

    @property
    def is_worker_graph(self) -> bool:
        """Whether it is a flow, or a router of the user's, that runs in workers."""
        return bool(self.asked.mlrun.graph)

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
        asked = self.asked.seldon
        options: dict[str, Any] = {
            "seldon_shim": settings.seldon_shim,
            "seldon_strict": settings.seldon_strict,
            "row_batching": bool(asked.row_batching),
            "validate_inputs": (
                settings.validate_inputs if asked.validate_inputs is None else asked.validate_inputs
            ),
            "model_uri": str(model_files) if model_files is not None else None,
        }
        if asked.service_type is not None:
            options["service_type"] = asked.service_type
        if asked.persistence_file is not None:
            options["persistence_file"] = asked.persistence_file
        return options

    def _server_options(self, settings: Settings, model_files: Path | None) -> dict[str, Any]:
        options: dict[str, Any] = {
            "mlrun_shim": settings.mlrun_shim,
            "strict_status": settings.strict_status,
            "nan_policy": settings.nan_policy,
            "data_url": _data_urls(settings),
            "body_operation": settings.mlrun_body_operation,
        }
        if self.asked.seldon.row_batching:
            options["row_wise"] = True
        options |= self.asked.mlrun.load_options()
        if model_files is not None:
            options["model_path"] = str(model_files)
        return options


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
                "service_type": options.seldon.service_type,
                "parameters": options.parameters,
                "model_uri": options.model_uri,
                "prepackaged": options.seldon.prepackaged,
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
        asked=_completed(options, component),
    )


def _completed(options: RegisterOptions, component: Component) -> RegisterOptions:
    """A registration with what a model's component is made of, by registration and archive together."""
    seldon = replace(
        options.seldon, service_type=component.service_type, prepackaged=component.prepackaged
    )
    mlrun = replace(options.mlrun, model_path=options.mlrun.model_path or component.model_path)
    return replace(options, model_uri=component.model_uri, seldon=seldon, mlrun=mlrun)
