"""The page of the settings is the one that is made from them."""

from __future__ import annotations

from pathlib import Path

import pytest

from mms.arg_parser import ArgParser
from mms.cli.pages.settings import document
from mms.settings import all_options

PAGE = Path(__file__).resolve().parents[2] / "docs" / "settings.md"


def test_the_page_in_the_documents_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == document(), (
        "run: python -m mms.cli.pages.settings > docs/settings.md"
    )


@pytest.mark.parametrize("name", all_options())
def test_the_page_tells_each_option_with_default_unit_and_variable(name: str) -> None:
    option = all_options()[name]
    _, tables = document().split("\n## Where a value comes from\n")
    (row,) = [line for line in tables.splitlines() if line.startswith(f"| `{name}` |")]
    assert option.help in row
    assert option.default in row
    assert option.unit in row
    assert (f"`MMS_{name.upper()}`" in row) is option.has_variable


def test_the_page_tells_each_flag() -> None:
    text = document()
    for action in ArgParser.mms_parser()._actions:
        for flag in action.option_strings:
            assert f"`{flag}`" in text
