"""Loading settings from a text, as a server does from its file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mms.processes.launch_options import LaunchOptions
from mms.settings import Settings, load_settings

Load = Callable[..., Settings]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """`load(text, environ, **options)`; the text is that of config.properties in the current folder."""
    monkeypatch.chdir(tmp_path)

    def load(text: str = "", environ: dict[str, str] | None = None, **options: Any) -> Settings:
        (tmp_path / "config.properties").write_text(text, encoding="iso-8859-1")
        return load_settings(LaunchOptions(**options), environ=environ or {})

    return load
