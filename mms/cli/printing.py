"""What people read: tables, drawn on a terminal and aligned text elsewhere, and the help of a group of commands."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

import click

#: More characters than a sentence has.
_WHOLE = 1000


def print_json(value: Any) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def print_table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Rows below their headings. What is no terminal gets plain lines that are never cut."""
    texts = [[_text(value) for value in row] for row in rows]
    if sys.stdout.isatty():
        _draw(headings, texts)
        return
    widths = [max(map(len, column)) for column in zip(headings, *texts, strict=True)]
    for row in (headings, *texts):
        cells = (text.ljust(width) for text, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())


def _text(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{printable(str(name))} {_text(part)}" for name, part in value.items())
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    return printable(str(value))


def printable(text: str) -> str:
    """Return a text without what would break a line, or drive a terminal; tabs become blanks."""
    return harmless(text.replace("\t", " "), "")


def harmless(text: str, kept: str = "\n\t") -> str:
    """Return a text without what may drive a terminal. `kept`: what of it may."""
    return "".join(c if c.isprintable() or c in kept else "\N{REPLACEMENT CHARACTER}" for c in text)


def _draw(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        # Text, since square brackets in a string would be read as styles.
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)


class CommandGroup(click.Group):
    """A group whose help wraps the first sentence of each command, where click's cuts it."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [
            (name, command.get_short_help_str(_WHOLE))
            for name, command in commands
            if command is not None and not command.hidden
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)
