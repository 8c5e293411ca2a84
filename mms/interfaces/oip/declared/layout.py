"""The layouts of folders that models of this interface come in."""

from __future__ import annotations

from pathlib import Path

from archiver.layouts import Layout
from mms.interfaces.oip.declared import model_settings, triton_config


def find_layout(folder: Path) -> Layout | None:
    """Return what a folder is in Triton's or MLServer's layout; None where it is none. Raises InvalidLayout."""
    return triton_config.find_layout(folder) or model_settings.find_layout(folder)
