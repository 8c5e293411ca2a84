"""Building archives byte by byte, good and bad, without the archiver under test."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path

SERVICE = "def handle(data, context):\n    return None if data is None else ['OK'] * len(data)\n"


def write_archive(path: Path, files: Mapping[str, bytes | str]) -> Path:
    """A deflated zip with these entries, names as given."""
    path.write_bytes(archive_bytes(files))
    return path


def archive_bytes(files: Mapping[str, bytes | str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return buffer.getvalue()


def model_files(
    manifest: Mapping[str, object] | str | None, source: str = SERVICE
) -> dict[str, bytes | str]:
    """The files of a small model; without a manifest if that is None."""
    files: dict[str, bytes | str] = {"service.py": source}
    if manifest is not None:
        text = manifest if isinstance(manifest, str) else json.dumps(manifest)
        files["MAR-INF/MANIFEST.json"] = text
    return files


def zip_folder(folder: Path, path: Path) -> Path:
    files: dict[str, bytes | str] = {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and "__pycache__" not in file.parts
    }
    return write_archive(path, files)
