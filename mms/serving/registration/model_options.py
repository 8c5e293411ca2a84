"""What a model is loaded as: its archive's extensions with what its registration asks for in their place."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields, replace
from pathlib import PurePosixPath

from archiver import Component, InvalidComponent, Manifest, uri_scheme
from mms.errors import BadRequest, InvalidModel
from mms.interfaces import AUTO, DEFAULT, OF_PREPACKAGED
from mms.prepackaged import PREPACKAGED
from mms.serving.options import RegisterOptions

#: What archive and registration say together; the parameters of a registration have the same names.
_OF_COMPONENT = tuple(member.name for member in fields(Component) if member.name != "interface")


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
        return bool(self.asked.value_of("graph"))

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


def model_options(options: RegisterOptions, manifest: Manifest) -> ModelOptions:
    """Raises BadRequest for what the registration asks, InvalidModel for what the archive says."""
    try:
        said = Component.of_extensions(manifest.extensions)
    except InvalidComponent as error:
        raise InvalidModel(f"The manifest's extensions are wrong: {error}.") from None
    try:
        asked = Component.of_extensions(
            {name: options.value_of(name) for name in _OF_COMPONENT}
            | {"interface": options.interface or said.interface or AUTO}
        )
    except InvalidComponent as error:
        raise BadRequest(f"{error}.") from None
    if asked.prepackaged is not None and options.handler:
        raise BadRequest("Parameters handler and prepackaged cannot be used together.")
    if options.handler or options.interface == DEFAULT.name:
        # Its own class takes the place of the archive's server.
        said = replace(said, prepackaged=None)
    component = said.overridden(asked)
    interface = options.interface or said.interface or AUTO
    handler = None
    if component.prepackaged is not None:
        if interface not in (AUTO, OF_PREPACKAGED.name):
            raise BadRequest(
                f"A prepackaged server such as {component.prepackaged} has the interface {OF_PREPACKAGED.name}."
            )
        interface, handler = OF_PREPACKAGED.name, PREPACKAGED[component.prepackaged]
    words = {name: getattr(component, name) for name in _OF_COMPONENT if name != "parameters"}
    return ModelOptions(interface, component, handler, options.with_values(**words))
