"""What packing writes about a class that serves as a model: the options, and the interface that the code shows."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from archiver.component import (
    Component,
    InvalidComponent,
    checked_parameters,
)
from archiver.detection import class_rule, detect, named_class
from archiver.errors import PackError
from archiver.packing.writers import Warn
from archiver.source import (
    ReadSource,
    bound_names,
    handler_tree,
    module_level,
    source_names,
)
from mms.interfaces import AUTO, CHOICES, OF_CLASSES, OF_PREPACKAGED, Interface, find_interface
from mms.text.brief import brief

#: The function that a module alone stands for.
_HANDLE: Final = "handle"
_MAX_SOURCE_BYTES: Final = 16 * 1024 * 1024


class Described(NamedTuple):
    """A manifest's handler, and its extensions or None where it has none."""

    handler: str
    extensions: dict[str, Any] | None


def prepackaged_handler(name: str) -> str:
    """Return what a manifest names as its handler where a server of this project's own serves the model."""
    return f"mms.prepackaged:{name}"


def describe_component(
    model_path: str,
    handler: str | None,
    *,
    interface: str = AUTO,
    service_type: str | None = None,
    parameters: Iterable[Mapping[str, Any]] = (),
    model_uri: str | None = None,
    prepackaged: str | None = None,
    extensions: Mapping[str, Any] | None = None,
    warn: Warn | None = None,
) -> Described:
    """Return the handler and extensions for these options; `extensions` are the ones given as they are.

    Without an option, and with code of MMS's interface, the extensions stay as they are. Raises PackError.
    """
    found = interface_of(model_path, handler, interface, prepackaged)
    try:
        checked = checked_parameters(list(parameters), has_json=found.has_json_arguments)
        asked = Component.of_extensions(
            {
                "interface": found.name,
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
        if found is not OF_PREPACKAGED:
            raise PackError(
                f"--prepackaged {asked.prepackaged} has the interface {OF_PREPACKAGED.name}, not {found.name}."
            )
        handler = prepackaged_handler(asked.prepackaged)
    else:
        handler = handler or ""
        if interface == found.name and found.has_classes:
            _check_class(found, handler, Path(model_path), warn)
    members = {**asked.to_extensions(), "interface": found.name}
    given = dict(extensions or {})
    if asked.service_type is not None and found.has_classes and not found.has_service_type:
        takers = " and ".join(each.nouns for each in OF_CLASSES if each.has_service_type)
        raise PackError(
            f"--service-type is for {takers}, and the handler {handler} is a {found.noun}."
        )
    if not found.has_classes:
        _refuse_component_options(asked, handler)
        if interface == AUTO:
            # Whatever is no component keeps the manifest that MMS's archiver writes.
            return Described(handler, None if extensions is None else given)
    return Described(handler, {**given, **members})


def interface_of(
    model_path: str, handler: str | None, asked: str = AUTO, prepackaged: str | None = None
) -> Interface:
    """Return the one that `asked` names, or for `auto` what the source in the folder shows. Raises PackError."""
    name = asked.lower()
    if name not in CHOICES:
        raise PackError(f"Interface {brief(asked)} is not one of {', '.join(CHOICES)}.")
    if name != AUTO:
        return find_interface(name)
    if prepackaged:
        return OF_PREPACKAGED
    return detect(handler or "", _reader(Path(model_path))).interface


def _reader(folder: Path) -> ReadSource:
    def read(name: str) -> bytes | None:
        path = folder / name
        if not path.is_file() or path.stat().st_size > _MAX_SOURCE_BYTES:
            return None
        return path.read_bytes()

    return read


def _check_class(interface: Interface, handler: str, folder: Path, warn: Warn | None) -> None:
    """The class that a handler names must be there, as far as the source can tell."""
    read = _reader(folder)
    if interface.takes_handlers and _names_function(handler, read):
        return
    named = named_class(interface, handler, read)
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
            f"The module {named.module} has no class, or several, that are {interface.nouns}; "
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
    rule = class_rule(interface)
    if rule is None or warn is None or not is_own_class:
        return
    if not rule.is_model(tree, named.name):
        warn(f"{named.module}: {named.name} {rule.lack}.")


def _names_function(handler: str, read: ReadSource) -> bool:
    """Return whether a handler names a function, or a module alone that has one of the default name."""
    module, _, name = handler.partition(":")
    tree = handler_tree(module, read)
    name = name.strip() or _HANDLE
    return tree is not None and any(
        isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name
        for node in module_level(tree.body)
    )


def _refuse_component_options(asked: Component, handler: str) -> None:
    with_places = [each for each in OF_CLASSES if each.has_service_type]
    for option, value, takers in (
        ("--service-type", asked.service_type, with_places),
        ("--param", asked.parameters, OF_CLASSES),
        ("--model-uri", asked.model_uri, OF_CLASSES),
    ):
        if value:
            raise PackError(
                f"{option} is for {' and '.join(each.nouns for each in takers)}, and the handler {handler} is not one: "
                "it names no class with a method such as predict. "
                f"--interface {' or '.join(each.name for each in takers)} says that it is one."
            )


def _sentence(error: InvalidComponent) -> str:
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}."
