"""The snapshots that TorchServe writes of itself: properties files, with the models as JSON in one of the keys."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from mms.errors import ConfigurationError

_FOLDER: Final = "config"


def newest_snapshot(environ: Mapping[str, str]) -> Path | None:
    """Return the newest snapshot below the folder of the log files; their names begin with the date and time."""
    folder = folder_of(environ.get("LOG_LOCATION") or "logs")
    try:
        names = sorted(path.name for path in folder.glob("*.cfg") if path.name[:1].isdigit())
    except OSError:
        return None
    return folder / names[-1] if names else None


def folder_of(log_dir: str) -> Path:
    """Return where snapshots are, by the folder of the log files."""
    return Path(log_dir) / _FOLDER


class SnapshotModels:
    """The models of a snapshot."""

    def __init__(self, text: str, where: str) -> None:
        """`where`: what messages call it. Raises ConfigurationError for a text that is none."""
        #: How each runs, by the keys of `model-config.yaml`, by (name, archive). Of several versions the default one
        #: comes first, as the first one registered is that.
        self.rows: dict[tuple[str | None, str], dict[str, Any]] = {}
        try:
            found = json.loads(text)["models"]
            for name, versions in found.items():
                rows = [{**row, "modelVersion": version} for version, row in versions.items()]
                rows.sort(key=lambda row: not row.get("defaultVersion"))
                self.rows |= {(name, str(row["marName"])): row for row in rows}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise ConfigurationError(
                f"Invalid configuration: {where}: model_snapshot is not the JSON of a snapshot, such as "
                '{"models": {"name": {"1.0": {"defaultVersion": true, "marName": "name.mar", "minWorkers": 1}}}}'
            ) from None
