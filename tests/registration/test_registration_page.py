"""The page of a registration's parameters is the one that is made from them."""

from __future__ import annotations

from pathlib import Path

from mms.cli.pages.registration import document
from mms.registration import parameters_of
from mms.serving import RegisterOptions

PAGE = Path(__file__).resolve().parents[2] / "docs" / "registration.md"


def test_the_page_in_the_documents_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == document(), (
        "run: python -m mms.cli.pages.registration > docs/registration.md"
    )


def test_the_page_has_the_parameters_of_every_interface() -> None:
    text = document()
    for declared in parameters_of(RegisterOptions):
        assert text.count(f"| `{declared.name}`") >= 2, declared.name
        assert declared.help in text
