"""Where the comparison keeps what it needs. Everything below `.bench/` can be deleted at any time."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BENCH = ROOT / ".bench"
VENVS = BENCH / "venvs"
RUNS = BENCH / "runs"
MODELS = Path(__file__).resolve().parent / "models"
DIGITS_EXAMPLE = ROOT / "examples" / "digits"
DOCS = ROOT / "docs"
