"""Settings for tests that need no file of them."""

from __future__ import annotations

from typing import Any

from mms.settings import Settings


def settings_of(**values: Any) -> Settings:
    """Return the defaults with some values in their place, of the server's settings and of those of interfaces."""
    settings = Settings()
    for name, value in values.items():
        settings.put(name, value)
    return settings
