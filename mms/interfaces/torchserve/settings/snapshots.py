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
    folder = Path(environ.get("LOG_LOCATION") or "logs") / _FOLDER
    try:
        names = sorted(path.name for path in folder.glob("*.cfg") if path.name[:1].isdigit())
    except OSError:
        return None
    return folder / names[-1] if names else None


class SnapshotModels:
    """The models of a snapshot."""

    def __init__(self, text: str, where: str) -> None:
        """`where`: what messages call it. Raises ConfigurationError for a text that is none."""
        #: As the setting `models` has them: how each runs, by name and version.
        self.models: dict[str, dict[str, dict[str, Any]]] = {}
        #: (name, archive); of several versions the default one comes first, as the first one registered is that.
        self.entries: list[tuple[str, str]] = []
        try:
            found = json.loads(text)["models"]
            for name, versions in found.items():
                rows = list(versions.values())
                rows.sort(key=lambda row: not row.get("defaultVersion"))
                self.entries += [(name, str(row["marName"])) for row in rows]
                self.models[name] = versions
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise ConfigurationError(
                f"Invalid configuration: {where}: model_snapshot is not the JSON of a snapshot, such as "
                '{"models": {"name": {"1.0": {"defaultVersion": true, "marName": "name.mar", "minWorkers": 1}}}}'
            ) from None
