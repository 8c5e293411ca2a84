"""The page of troubleshooting: its errors are those of the sources, and `mms` names its parts."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from support.sources import nodes

from mms.cli.mms import main
from mms.cli.troubleshooting import PARTS, Commands, see

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
#: Heading and the line below it, which has the texts of errors.
PART = re.compile(r"^### (.+)\n\n(`.+`)$", re.MULTILINE)


def texts() -> str:
    """All texts of the sources; what they leave open is a brace."""
    found = []
    for file in (ROOT / "mms").rglob("*.py"):
        for node in nodes(file):
            if isinstance(node, ast.JoinedStr):
                pieces = (p.value if isinstance(p, ast.Constant) else "{}" for p in node.values)
                found.append("".join(map(str, pieces)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return "\n".join(found)


def on_page() -> dict[str, str]:
    return {
        words: heading.lower().replace(" ", "-")
        for heading, line in PART.findall(PAGE)
        for words in re.findall(r"`([^`]+)`", line)
    }


def test_every_part_begins_with_the_errors_that_it_is_about_and_they_are_those_of_the_sources() -> (
    None
):
    headings = re.findall(r"^### (.+)$", PAGE, re.MULTILINE)
    assert headings == [heading for heading, _ in PART.findall(PAGE)]
    known = texts()
    assert [words for words in on_page() if words not in known] == []


def test_every_part_that_mms_names_is_there_and_is_about_that_error() -> None:
    assert PARTS.items() <= on_page().items()


def test_an_error_of_a_command_says_where_there_is_more_about_it_and_another_one_does_not() -> None:
    @click.group(cls=Commands)
    def group() -> None: ...

    @group.command()
    @click.argument("text")
    def fail(text: str) -> None:
        raise click.ClickException(text)

    shown = CliRunner().invoke(group, ["fail", "Model not found: a"]).output
    assert shown == f"Error: Model not found: a\nsee {see('Model not found: a')}\n"
    assert "troubleshooting.md#a-model-is-not-found" in shown
    assert CliRunner().invoke(group, ["fail", "odd"]).output == "Error: odd\n"


@pytest.mark.parametrize("arguments", [["absent"], ["fail"]])
def test_a_misuse_of_a_command_shows_its_usage_alone(arguments: list[str]) -> None:
    @click.group(cls=Commands)
    def group() -> None: ...

    @group.command()
    @click.argument("text")
    def fail(text: str) -> None: ...

    result = CliRunner().invoke(group, arguments)
    assert (result.exit_code, "see http" in result.output) == (2, False)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["models", "scale", "m", "zero"], "'zero' is not a whole number."),
        (["predict", "m", "-d", "x", "--timeout", "soon"], "'soon' is not a number."),
        (["models", "scale", "m", "--", "-1"], "-1 is not in the range x>=0."),
    ],
)
def test_a_number_that_is_none_is_refused_in_plain_words(arguments: list[str], said: str) -> None:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert said in result.output
