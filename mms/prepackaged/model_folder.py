"""The folder that a model was saved into."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mms.prepackaged.errors import ModelNotLoaded
from mms.text import documents
from mms.text.brief import brief

METADATA_FILE = "metadata.yaml"
_FILE_SCHEME = "file://"
#: How many names of what is there a message lists.
_LISTED = 10


class ModelFolder:
    """A local folder, or one file in it where `model_uri` names a file.

    `model_uri` None stands for the current folder, which is that of the archive in a worker.
    """

    def __init__(self, model_uri: str | None) -> None:
        local = (model_uri or ".").removeprefix(_FILE_SCHEME)
        if "://" in local:
            raise ModelNotLoaded(
                f"model_uri {model_uri} is not a local path; the server fetches a remote model before it loads it"
            )
        path = Path(local).expanduser().absolute()
        if not path.exists():
            raise ModelNotLoaded(f"model_uri {model_uri}: there is no {path}")
        self.only_file = None if path.is_dir() else path
        self.path = path if path.is_dir() else path.parent

    def __repr__(self) -> str:
        return f"ModelFolder({str(self.only_file or self.path)!r})"

    def find(self, *patterns: str) -> list[Path]:
        """Its files and folders with such names, in the order of the patterns, then by name; none of subfolders."""
        if self.only_file is not None:
            return [self.only_file] if any(map(self.only_file.match, patterns)) else []
        return [path for pattern in patterns for path in sorted(self.path.glob(pattern))]

    def one(self, expected: str, *patterns: str) -> Path:
        """Return the only file of such a name; raises ModelNotLoaded with `expected` where there is none or several."""
        found = self.find(*patterns)
        if len(found) != 1:
            raise self.unexpected(expected, found)
        return found[0]

    def inside(self, name: str, named_by: Path) -> Path:
        """Return a path below the folder that one of its files names; it has to exist."""
        path = (self.path / name).resolve()
        if not path.is_relative_to(self.path.resolve()):
            raise ModelNotLoaded(f"{named_by} names {brief(name)}, which is outside of {self.path}")
        if not path.exists():
            raise ModelNotLoaded(f"{named_by} names {brief(name)}, but there is no {path}")
        return path

    def unexpected(self, expected: str, found: Sequence[Path] = ()) -> ModelNotLoaded:
        if self.only_file is not None:
            return ModelNotLoaded(f"{self.only_file} is not what was expected: {expected}")
        if found:
            names = ", ".join(path.name for path in found)
            return ModelNotLoaded(f"{self.path} has several of them ({names}); expected {expected}")
        names = self._listing()
        return ModelNotLoaded(f"{self.path} has no model: expected {expected}; it holds {names}")

    def read_metadata(self) -> dict[str, Any]:
        """Return what metadata.yaml beside the model says for Seldon's `init_metadata`; {} without that file."""
        file = self.path / METADATA_FILE
        if not file.is_file():
            return {}
        metadata = read_yaml(file)
        if metadata is None:
            return {}
        if not isinstance(metadata, dict):
            raise ModelNotLoaded(f"{file} has to be a mapping such as `name: iris`")
        return metadata

    def _listing(self) -> str:
        names = sorted(path.name + "/" * path.is_dir() for path in self.path.iterdir())
        if not names:
            return "nothing"
        more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
        return ", ".join(names[:_LISTED]) + more


def read_yaml(file: Path) -> Any:
    """Raises ModelNotLoaded for what is no YAML in UTF-8."""
    try:
        return documents.read_yaml(file.read_bytes())
    except documents.InvalidDocument as error:
        raise ModelNotLoaded(f"{file} is not valid YAML: {error}") from error
