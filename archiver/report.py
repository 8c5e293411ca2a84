"""How `model-archiver inspect` shows an archive: a table for people, lines for pipes, JSON for programs."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archiver.component import Component, InvalidComponent
from archiver.errors import InvalidManifest
from archiver.manifest import Manifest
from archiver.reading.unpack import Archive, Entry

_CHUNK_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Inspection:
    """What an archive is and holds. `size_bytes` and `sha256` are the archive file's, None for a folder."""

    path: Path
    kind: str
    size_bytes: int | None
    sha256: str | None
    is_legacy: bool
    manifest: dict[str, Any] | None
    manifest_error: str | None
    files: list[tuple[Entry, str | None]]

    @property
    def total_bytes(self) -> int:
        return sum(entry.size_bytes for entry, _ in self.files)


def inspect(path: Path) -> Inspection:
    """Reads the whole archive. Raises InvalidArchive, OSError; a bad manifest is part of the answer."""
    with Archive.open(path) as archive:
        manifest: dict[str, Any] | None = None
        manifest_error: str | None = None
        try:
            if archive.manifest is not None:
                manifest = archive.manifest.to_dict()
        except InvalidManifest as error:
            manifest_error = f"{error} ({error.detail})" if error.detail else str(error)
        is_file = archive.kind != "folder"
        return Inspection(
            path=path,
            kind=archive.kind,
            size_bytes=path.stat().st_size if is_file else None,
            sha256=_file_sha256(path) if is_file else None,
            is_legacy=archive.is_legacy,
            manifest=manifest,
            manifest_error=manifest_error,
            files=archive.hashed_entries(),
        )


def as_json(inspection: Inspection) -> str:
    document: dict[str, Any] = {
        "path": str(inspection.path),
        "format": inspection.kind,
        "sizeBytes": inspection.size_bytes,
        "sha256": inspection.sha256,
        "isLegacy": inspection.is_legacy,
        "manifest": inspection.manifest,
        "files": [
            {"name": entry.name, "sizeBytes": entry.size_bytes, "sha256": sha256}
            for entry, sha256 in inspection.files
        ],
    }
    if inspection.manifest_error is not None:
        document["manifestError"] = inspection.manifest_error
    return json.dumps(document, indent=2)


def as_text(inspection: Inspection) -> str:
    """Return the plain form: facts first, then one line a file with hash, size and name."""
    lines = [f"{label:<9} {value}" for label, value in _facts(inspection)]
    lines += ["", _manifest_text(inspection), ""]
    width = max((len(str(entry.size_bytes)) for entry, _ in inspection.files), default=1)
    lines += [
        f"{sha256 or '-':<64}  {entry.size_bytes:>{width}}  {entry.name}"
        for entry, sha256 in inspection.files
    ]
    return "\n".join(lines)


def print_table(inspection: Inspection) -> None:
    """The form for a terminal, on standard output."""
    # Imported here because a server imports this package and never draws a table.
    from rich.console import Console
    from rich.json import JSON
    from rich.table import Table
    from rich.text import Text

    console = Console()
    facts = Table.grid(padding=(0, 2))
    for label, value in _facts(inspection):
        facts.add_row(Text(label, style="bold"), Text(value))
    console.print(facts)
    console.print()
    if inspection.manifest is not None:
        console.print(JSON(json.dumps(inspection.manifest), indent=2))
    else:
        console.print(Text(_manifest_text(inspection)))
    console.print()
    files = Table("File", header_style="bold")
    files.add_column("Bytes", justify="right")
    files.add_column("SHA-256", overflow="fold")
    for entry, sha256 in inspection.files:
        files.add_row(Text(entry.name), str(entry.size_bytes), sha256 or "link")
    console.print(files)


def _facts(inspection: Inspection) -> list[tuple[str, str]]:
    facts = [("archive", str(inspection.path)), ("format", inspection.kind)]
    if inspection.size_bytes is not None:
        facts.append(("size", f"{inspection.size_bytes} bytes"))
    if inspection.sha256 is not None:
        facts.append(("sha256", inspection.sha256))
    facts.append(("files", f"{len(inspection.files)}, {inspection.total_bytes} bytes unpacked"))
    if inspection.is_legacy:
        facts.append(("legacy", "yes, the manifest is shown under its 1.0 names"))
    if inspection.manifest is not None:
        facts += _component_facts(Manifest(inspection.manifest))
    return facts


def _component_facts(manifest: Manifest) -> list[tuple[str, str]]:
    try:
        component = Component.of_extensions(manifest.extensions)
    except InvalidComponent as error:
        return [("component", f"wrong: {error}")]
    facts = [
        ("interface", component.interface),
        ("service", component.service_type),
        ("server", component.prepackaged),
        ("model uri", component.model_uri),
        ("model path", component.model_path),
    ]
    parameters = [
        ("parameter", f"{p['name']}={p['value']}:{p['type']}") for p in component.parameters
    ]
    return [(label, value) for label, value in facts if value is not None] + parameters


def _manifest_text(inspection: Inspection) -> str:
    if inspection.manifest is not None:
        return json.dumps(inspection.manifest, indent=2)
    return inspection.manifest_error or "no manifest"


def _file_sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
