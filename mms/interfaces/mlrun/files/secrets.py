"""Where a class's secrets come from."""

from __future__ import annotations

import os
from typing import Any

from mms.text.brief import brief

#: Before the name, in upper case, of a secret that the platform put into the environment.
PROJECT_SECRET_PREFIX = "MLRUN_K8S_SECRET__"
KINDS = ("inline", "file", "env", "kubernetes", "azure_vault")
_KINDS_OF_THE_PLATFORM = ("kubernetes", "azure_vault", "vault")


class Secrets:
    """Secrets of the sources that a function names; later sources win."""

    def __init__(self) -> None:
        self._found: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"<Secrets {', '.join(self._found) or 'none'}>"

    @classmethod
    def from_sources(cls, sources: list[dict[str, Any]] | None) -> Secrets:
        """Return those of `secret_sources`: [{"kind", "source"[, "prefix"]}]. Raises ValueError and OSError."""
        secrets = cls()
        for source in sources or ():
            secrets.add_source(
                source.get("kind", ""), source.get("source"), source.get("prefix", "")
            )
        return secrets

    #: Its name in MLRun.
    from_list = from_sources

    def add_source(self, kind: str, source: Any = None, prefix: str = "") -> None:
        """Add a source. `inline`: a dict; `file`: lines name=value; `env`: names with commas between them.

        Those of the platform are looked for in the environment.
        """
        if kind == "inline":
            values = _inline(source)
        elif kind == "file":
            values = read_env_file(source)
        elif kind == "env":
            values = _of_environment(source)
        elif kind in _KINDS_OF_THE_PLATFORM:
            return
        else:
            raise ValueError(
                f"secret source of kind {brief(kind)} is unknown, known are {', '.join(KINDS)}"
            )
        self._found.update({prefix + str(key): str(value) for key, value in values.items()})

    def get(self, key: str, default: Any = None) -> Any:
        """Return the secret's text; `default` where no source has it."""
        found = self._found.get(key)
        if found is None:
            found = os.environ.get(PROJECT_SECRET_PREFIX + key.upper().replace("-", "_"))
        return default if found is None else found


def _inline(source: Any) -> dict[str, Any]:
    if isinstance(source, str):
        import json

        source = json.loads(source)
    if not isinstance(source, dict):
        raise ValueError(f"secrets of kind inline must be a dict, not {type(source).__name__}")
    return source


def read_env_file(source: Any) -> dict[str, str]:
    """Return the values of a file with lines name=value, by name. Raises OSError."""
    found = {}
    with open(source, encoding="utf-8") as lines:
        for line in lines:
            name, sign, value = line.strip().removeprefix("export ").partition("=")
            if sign and not name.startswith("#"):
                found[name.strip()] = value.strip().strip("\"'")
    return found


def _of_environment(source: Any) -> dict[str, str]:
    names = source if isinstance(source, list | tuple) else str(source or "").split(",")
    stripped = [str(name).strip() for name in names]
    return {name: os.environ[name] for name in stripped if name in os.environ}
