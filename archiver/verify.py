"""What a server would refuse in an archive, found before it is deployed, without running its code."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from archiver.component import Component, InvalidComponent
from archiver.detection import named_class
from archiver.errors import InvalidArchive, InvalidManifest
from archiver.manifest import LEGACY_MANIFEST_NAME, MANIFEST_NAME, MAX_MANIFEST_BYTES, Manifest
from archiver.model_config import (
    CONFIG_NAME,
    InvalidModelConfig,
    read_config_file,
    read_config_keys,
)
from archiver.reading.limits import DEFAULT_LIMITS, Limits
from archiver.reading.unpack import Archive, Entry
from archiver.signing.keys import TrustedKeys
from archiver.signing.signature import InvalidSignature
from archiver.source import (
    HandlerClass,
    bound_names,
    defines,
    module_level,
    source_names,
)
from mms.interfaces import INTERFACES, OF_CLASSES, Interface, part
from mms.interfaces.torchserve.handler_names import DEFAULT_HANDLERS, FOREIGN_HANDLERS
from mms.text.python_source import parsed

# The handlers that TorchServe brings along; an archive names them without holding them.
_COMPILED_SUFFIXES: Final = (".so", ".pyd", ".pyc")
#: What pip's users call it; a manifest may name another file.
REQUIREMENTS_NAME: Final = "requirements.txt"
# No source file of a handler comes near it.
_MAX_SOURCE_BYTES: Final = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Finding:
    """`error`: a server refuses the archive or its workers cannot load it. `warning`: it may."""

    level: Literal["error", "warning"]
    message: str


def verify(
    path: str | os.PathLike[str],
    *,
    limits: Limits = DEFAULT_LIMITS,
    trusted: TrustedKeys | None = None,
) -> list[Finding]:
    """Opens the archive, reads every byte of it, and checks its manifest, handler and signature. Raises OSError.

    An archive without findings of level `error` registers, and its handler module parses and has the entry point. With
    `trusted` it has to be signed by one of these keys; without, a signature has to fit the files, whoever has signed.
    """
    try:
        with Archive.open(path, limits=limits) as archive:
            return list(_findings(archive, trusted))
    except InvalidArchive as error:
        return [Finding("error", str(error))]


def packed_findings(
    path: str | os.PathLike[str], *, is_class_checked: bool = False
) -> list[Finding]:
    """Return the findings for an archive that was packed just now, without reading all of it again. Raises OSError.

    What a server does only with a setting for it is a warning, too. `is_class_checked`: the class of a component or
    model server has been looked at already.
    """
    try:
        with Archive.open(path) as archive:
            found = _content_findings(archive, has_handler_checks=not is_class_checked)
            return [*found, *_unused_requirements(archive)]
    except InvalidArchive as error:
        return [Finding("error", str(error))]


def _unused_requirements(archive: Archive) -> Iterator[Finding]:
    manifest = archive.manifest
    name = (manifest.requirements_file if manifest else None) or REQUIREMENTS_NAME
    if any(entry.name == name for entry in archive.entries):
        yield Finding(
            "warning",
            f"A server installs {name} only with install_requirements=folder or venv, which is off by default.",
        )


def _findings(archive: Archive, trusted: TrustedKeys | None) -> Iterator[Finding]:
    for entry in archive.entries:
        if entry.is_link:
            yield Finding(
                "warning", f"{entry.name} is a symbolic link, which no archive file can hold."
            )
    for first, second in archive.case_collisions():
        text = (
            f"{first} and {second} differ in case alone, which macOS and Windows do not tell apart."
        )
        # A folder is used as it is.
        yield Finding("warning" if archive.kind == "folder" else "error", text)
    # Reads everything, so that damage shows.
    yield from _signature_findings(archive, archive.hashed_entries(), trusted)
    yield from _content_findings(archive)


def _content_findings(archive: Archive, *, has_handler_checks: bool = True) -> Iterator[Finding]:
    """Yield what is wrong with the manifest and with what it names."""
    names = [entry.name for entry in archive.entries]
    try:
        manifest = archive.manifest
        if manifest is None:
            yield _no_manifest(archive)
            return
        yield from _manifest_findings(manifest)
        manifest.validate()
    except InvalidManifest as error:
        yield Finding("error", f"{error} ({error.detail})" if error.detail else str(error))
        return
    yield from _named_files(archive, manifest, names)
    config_name = manifest.config_file or CONFIG_NAME
    yield from _config_findings(archive, config_name, names)
    yield from _declaration_findings(archive, manifest, config_name, names)
    if has_handler_checks:
        yield from _handler_findings(archive, manifest, names)


def _signature_findings(
    archive: Archive, hashed: list[tuple[Entry, str | None]], trusted: TrustedKeys | None
) -> Iterator[Finding]:
    try:
        if trusted is not None:
            signatures = [archive.trusted_signature(trusted)[0]]
        else:
            signatures = archive.signatures()
        for signature in signatures:
            signature.check_names(entry.name for entry, _ in hashed)
            for entry, sha256 in hashed:
                if sha256 is not None:
                    signature.check_content(entry.name, sha256)
    except InvalidSignature as error:
        yield Finding("error", str(error))
        return
    if trusted is None:
        for signature in signatures:
            text = f"Signed by {', '.join(signature.signers)}; give --key to check whether that key is trusted."
            yield Finding("warning", text)


def _no_manifest(archive: Archive) -> Finding:
    folder = archive.misplaced_manifest
    if folder is not None:
        text = f"The manifest lies in the folder {folder}; archive what is in that folder, not the folder."
        return Finding("error", text)
    text = (
        f"There is no {MANIFEST_NAME}, so that each registration must give model_name and handler."
    )
    return Finding("warning", text)


def _manifest_findings(manifest: Manifest) -> Iterator[Finding]:
    if manifest.runtime == "python2":
        yield Finding(
            "warning", "The runtime is python2, which the server's machine must still have."
        )


def _named_files(archive: Archive, manifest: Manifest, names: Sequence[str]) -> Iterator[Finding]:
    """Yield an error for each file that the manifest names and that is not there."""
    named = {
        "serializedFile": manifest.serialized_file,
        "modelFile": manifest.model_file,
        "requirementsFile": manifest.requirements_file,
        "configFile": manifest.config_file,
    }
    if manifest.is_legacy:
        named["Signature"] = _legacy_signature(archive)
        if named["Signature"] is None:
            yield Finding("error", "The legacy manifest has no Signature file.")
    for field, name in named.items():
        if name and name not in names:
            yield Finding("error", f"The manifest's {field} {name} is not in the archive.")


def _config_findings(archive: Archive, name: str, names: Sequence[str]) -> Iterator[Finding]:
    """Yield what is wrong with the model's configuration file; a key without effect is a warning."""
    if name not in names:
        return
    try:
        said = read_config_file(archive.read(name, max_bytes=_MAX_SOURCE_BYTES), name)
    except InvalidModelConfig as error:
        yield Finding("error", str(error))
        return
    for problem in read_config_keys(said).problems:
        yield Finding("warning", f"{name}: {problem}")


def _declaration_findings(
    archive: Archive, manifest: Manifest, config_name: str, names: Sequence[str]
) -> Iterator[Finding]:
    """Yield what is wrong with what the archive declares of its model's tensors."""

    def read(name: str) -> bytes | None:
        # What is larger is no description, but a model.
        entry = next((each for each in archive.entries if each.name == name), None)
        if entry is None:
            return None
        if entry.size_bytes > _MAX_SOURCE_BYTES:
            return b""
        return archive.read(name, max_bytes=_MAX_SOURCE_BYTES)

    said: dict[str, Any] = {f"{MANIFEST_NAME}, model.extensions": manifest.extensions}
    if config_name in names:
        try:
            text = archive.read(config_name, max_bytes=_MAX_SOURCE_BYTES)
            said = {config_name: read_config_file(text, config_name), **said}
        except InvalidModelConfig:
            # Told of already.
            return
    for interface in INTERFACES:
        if interface.declaration_problems:
            for problem in part(interface.declaration_problems)(said, read):
                yield Finding("error", problem)


def _legacy_signature(archive: Archive) -> str | None:
    document = json.loads(archive.read(LEGACY_MANIFEST_NAME, max_bytes=MAX_MANIFEST_BYTES))
    signature = document["Model"].get("Signature")
    return signature if isinstance(signature, str) else None


def _handler_findings(
    archive: Archive, manifest: Manifest, names: Sequence[str]
) -> Iterator[Finding]:
    try:
        component = Component.of_extensions(manifest.extensions)
    except InvalidComponent as error:
        yield Finding("error", f"The manifest's extensions: {error}.")
        return
    if component.prepackaged is not None:
        return
    handler = manifest.handler or ""
    interface = next((each for each in OF_CLASSES if each.name == component.interface), None)
    module, _, function = handler.partition(":")
    function = function.strip() or "handle"
    if interface is not None:
        module, function = _class_of(interface, handler, archive, names)
    source_name = next((name for name in source_names(module) if name in names), None)
    if source_name is None:
        if module not in DEFAULT_HANDLERS:
            yield _absent_module(module, names)
        return
    source = archive.read(source_name, max_bytes=_MAX_SOURCE_BYTES)
    try:
        tree = parsed(source, source_name)
    except SyntaxError as error:
        yield Finding("error", f"{source_name}, line {error.lineno}: {error.msg}.")
        return
    except (ValueError, RecursionError, MemoryError) as error:
        yield Finding("error", f"{source_name} cannot be parsed: {error}.")
        return
    if archive.is_legacy:
        if not any(isinstance(node, ast.ClassDef) and node.bases for node in ast.walk(tree)):
            yield Finding("error", f"{source_name} has no class derived from SingleNodeService.")
        return
    if interface is not None:
        if not function:
            yield Finding("error", f"{source_name} has no {interface.noun}, or several.")
        elif not defines(tree, function):
            yield Finding("error", f"{source_name} has no class {function}.")
        return
    yield from _entry_point_findings(tree, source_name, function)


def _class_of(
    interface: Interface, handler: str, archive: Archive, names: Sequence[str]
) -> HandlerClass:
    def read(name: str) -> bytes | None:
        return archive.read(name, max_bytes=_MAX_SOURCE_BYTES) if name in names else None

    return named_class(interface, handler, read)


def _absent_module(module: str, names: Sequence[str]) -> Finding:
    if os.path.isabs(module):
        return Finding("warning", f"The handler {module} lies outside the archive.")
    stem = module.removesuffix(".py").rsplit("/", 1)[-1]
    top = stem.split(".")[0]
    if any(
        name.rsplit("/", 1)[-1].split(".")[0] == top and name.endswith(_COMPILED_SUFFIXES)
        for name in names
    ):
        return Finding("warning", f"The handler module {module} is compiled; it cannot be checked.")
    if stem in FOREIGN_HANDLERS:
        return Finding("warning", f"The handler {stem} needs TorchServe's own package.")
    if not module.endswith(".py") and "/" not in module and _is_installed(top):
        return Finding(
            "warning", f"The handler module {module} is not in the archive but installed here."
        )
    wanted = f"{module.removesuffix('.py')}.py"
    return Finding("error", f"The handler's module {wanted} is not in the archive.")


def _is_installed(top_module: str) -> bool:
    try:
        return importlib.util.find_spec(top_module) is not None
    except (ImportError, ValueError):
        return False


def _entry_point_findings(tree: ast.Module, source_name: str, function: str) -> Iterator[Finding]:
    """Yield an error where there is no entry point.

    It is an attribute of that name, else the only class, which must have `handle`.
    """
    statements = list(module_level(tree.body))
    for node in statements:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name == function:
            if not _takes_data_and_context(node.args):
                text = f"{source_name}: {function} must take two arguments, (data, context)."
                yield Finding("error", text)
            return
    bound = {name for node in statements for name in bound_names(node)}
    if function in bound:
        return
    if "*" in bound:
        text = f"{source_name} imports with *; whether it has {function} shows only when it runs."
        yield Finding("warning", text)
        return
    classes = [node for node in statements if isinstance(node, ast.ClassDef)]
    if len(classes) != 1:
        functions = [
            node.name
            for node in statements
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        ]
        text = (
            f"{source_name} has no {function}, nor exactly one class; functions there: "
            f"{', '.join(functions) or 'none'}; classes there: "
            f"{', '.join(node.name for node in classes) or 'none'}."
        )
        yield Finding("error", text)
        return
    service = classes[0]
    methods = {name for node in module_level(service.body) for name in bound_names(node)}
    if "handle" in methods or {"admit", "step"} <= methods:
        return
    if service.bases:
        text = f"{source_name}: {service.name} has no handle of its own; a base class must have it."
        yield Finding("warning", text)
    else:
        yield Finding("error", f"{source_name}: the class {service.name} has no method handle.")


def _takes_data_and_context(arguments: ast.arguments) -> bool:
    """Return whether a call with two positional arguments fits."""
    positional = len(arguments.posonlyargs) + len(arguments.args)
    required = positional - len(arguments.defaults)
    has_unset_keyword = any(default is None for default in arguments.kw_defaults)
    fits = required <= 2 and (positional >= 2 or arguments.vararg is not None)
    return fits and not has_unset_keyword
