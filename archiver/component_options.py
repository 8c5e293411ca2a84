"""What packing writes about a component or model server: the options, and the interface that the code shows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from archiver.component import (
    Component,
    InvalidComponent,
    checked_parameters,
)
from archiver.errors import PackError
from archiver.source import (
    ReadSource,
    bound_names,
    detected_interface,
    handler_class,
    handler_tree,
    is_model_server,
    is_seldon_component,
    module_level,
    server_class,
    source_names,
)
from archiver.writers import Warn
from mms.brief import brief
from mms.registration import INTERFACES

_MAX_SOURCE_BYTES: Final = 16 * 1024 * 1024


#: Interface -> whether a class is written to it, and what is said of one that seems not to be.
_CHECKS: Final = {
    "seldon": (is_seldon_component, "has none of Seldon's methods, such as predict"),
    "mlrun": (
        is_model_server,
        "has neither the base V2ModelServer nor the methods load, predict and do_event",
    ),
}


class Described(NamedTuple):
    """A manifest's handler, and its extensions or None where it has none."""

    handler: str
    extensions: dict[str, Any] | None


def prepackaged_handler(name: str) -> str:
    """What a manifest names as its handler where a server of this project's own serves the model."""
    return f"mms.prepackaged:{name}"


def describe_component(
    model_path: str,
    handler: str | None,
    *,
    interface: str = "auto",
    service_type: str | None = None,
    parameters: Iterable[Mapping[str, Any]] = (),
    model_uri: str | None = None,
    prepackaged: str | None = None,
    extensions: Mapping[str, Any] | None = None,
    warn: Warn | None = None,
) -> Described:
    """The handler and extensions for these options; `extensions` are the ones given as they are.

    Without an option, and with code of MMS's interface, the extensions stay as they are. Raises PackError.
    """
    found = interface_of(model_path, handler, interface, prepackaged)
    try:
        checked = checked_parameters(list(parameters), has_json=found == "mlrun")
        asked = Component.of_extensions(
            {
                "interface": found,
                "service_type": service_type,
                "parameters": list(checked),
                "model_uri": model_uri,
                "prepackaged": prepackaged,
            }
        )
    except InvalidComponent as error:
        raise PackError(_sentence(error)) from None
    if asked.prepackaged is not None:
        if handler:
            raise PackError(
                f"The handler {handler} and --prepackaged {asked.prepackaged} cannot be used "
                "together: a prepackaged server has its own class."
            )
        if found != "seldon":
            raise PackError(
                f"--prepackaged {asked.prepackaged} has the interface seldon, not {found}."
            )
        handler = prepackaged_handler(asked.prepackaged)
    else:
        handler = handler or ""
        if interface in _CHECKS:
            _check_class(interface, handler, Path(model_path), warn)
    members = {**asked.to_extensions(), "interface": found}
    given = dict(extensions or {})
    if found == "mlrun" and asked.service_type is not None:
        raise PackError(
            f"--service-type is for Seldon components, and the handler {handler} is a model server of MLRun."
        )
    if found == "mms":
        _refuse_component_options(asked, handler)
        if interface == "auto":
            # Whatever is no component keeps the manifest that MMS's archiver writes.
            return Described(handler, None if extensions is None else given)
    return Described(handler, {**given, **members})


def interface_of(
    model_path: str, handler: str | None, asked: str = "auto", prepackaged: str | None = None
) -> str:
    """`asked`, or for `auto` what the handler's source in the folder shows. Raises PackError for an unknown one."""
    interface = asked.lower()
    if interface not in INTERFACES:
        raise PackError(f"Interface {brief(asked)} is not one of {', '.join(INTERFACES)}.")
    if interface != "auto":
        return interface
    return "seldon" if prepackaged else detected_interface(handler or "", _reader(Path(model_path)))


def _reader(folder: Path) -> ReadSource:
    def read(name: str) -> bytes | None:
        path = folder / name
        if not path.is_file() or path.stat().st_size > _MAX_SOURCE_BYTES:
            return None
        return path.read_bytes()

    return read


def _check_class(interface: str, handler: str, folder: Path, warn: Warn | None) -> None:
    """The class that a handler names must be there, as far as the source can tell."""
    read = _reader(folder)
    named = server_class(handler, read) if interface == "mlrun" else handler_class(handler)
    if not any(read(name) is not None for name in source_names(named.module)):
        if warn is not None:
            warn(
                f"The module {named.module} of the handler {handler} is not in {folder}; "
                "it must be installed where the model is served."
            )
        return
    tree = handler_tree(named.module, read)
    if tree is None:
        raise PackError(f"The module {named.module} of the handler {handler} cannot be parsed.")
    if not named.name:
        raise PackError(
            f"The module {named.module} has no class, or several, that are model servers of MLRun; "
            "name one, as in module:Class."
        )
    bound = [name for node in module_level(tree.body) for name in bound_names(node)]
    if named.name not in bound and "*" not in bound:
        raise PackError(
            f"The module {named.module} has no class {named.name}, which the handler {handler} names."
        )
    is_own_class = any(
        getattr(node, "name", None) == named.name for node in module_level(tree.body)
    )
    has_it, lack = _CHECKS[interface]
    if is_own_class and not has_it(tree, named.name) and warn is not None:
        warn(f"{named.module}: {named.name} {lack}.")


def _refuse_component_options(asked: Component, handler: str) -> None:
    for option, value in (
        ("--service-type", asked.service_type),
        ("--param", asked.parameters),
        ("--model-uri", asked.model_uri),
    ):
        if value:
            raise PackError(
                f"{option} is for Seldon components and model servers of MLRun, and the handler {handler} is neither: "
                "it names no class with a method such as predict. --interface seldon or mlrun says that it is one."
            )


def _sentence(error: InvalidComponent) -> str:
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}."
