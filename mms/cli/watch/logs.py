"""`mms logs`: what models print and log, and what becomes of them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from mms.cli.connecting import complete_name, json_option, on_management

if TYPE_CHECKING:
    from mms.client import Client, LogLine

#: As the server has them, from the least urgent one on.
_LEVELS = ("DEBUG", "INFO", "WARN", "ERROR", "FATAL")
_STYLES = {"WARN": "yellow", "ERROR": "red", "FATAL": "bold red", "DEBUG": "dim"}


@click.command()
@click.argument("name", metavar="[MODEL]", required=False, shell_complete=complete_name)
@click.option("-f", "--follow", is_flag=True, help="Go on with each line that comes, until Ctrl-C.")
@click.option(
    "-n",
    "--lines",
    type=click.IntRange(min=0),
    default=100,
    show_default=True,
    help="How many of the newest lines, 1000 at most.",
)
@click.option(
    "--level",
    type=click.Choice(_LEVELS, case_sensitive=False),
    default=_LEVELS[0],
    help="Only lines of this level and above.",
)
@json_option("Print each line as JSON.")
@on_management
def logs(
    client: Client, name: str | None, follow: bool, lines: int, level: str, is_json: bool
) -> None:
    """Show what MODEL, or all models, print and log.

    What the server says of them is among the lines.

    \b
    Examples:
      mms logs hello
      mms logs -f hello --level WARN
      mms logs -f --json | jq .message
    """
    of = client.models.follow_logs if follow else client.models.logs
    shown: Iterable[LogLine] = of(name, lines=lines)
    least = _LEVELS.index(level.upper())
    show = _show_json if is_json else _showing(has_names=name is None)
    try:
        for line in _at_least(shown, least):
            show(line)
    except KeyboardInterrupt:
        return
    except BrokenPipeError:
        # Whoever read our output has gone, and Python's own flush at the end may not complain.
        import os

        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return
    if follow:
        click.echo("The server has stopped.", err=True)


def _at_least(lines: Iterable[LogLine], least: int) -> Iterable[LogLine]:
    for line in lines:
        if line.is_gap or line.level not in _LEVELS or _LEVELS.index(line.level) >= least:
            yield line


def _show_json(line: LogLine) -> None:
    import json

    print(json.dumps(asdict(line), ensure_ascii=False), flush=True)


def _showing(*, has_names: bool) -> Callable[[LogLine], None]:
    """Return what prints a line. `has_names`: with the name of its model where no worker's says it."""
    if not sys.stdout.isatty():
        return lambda line: print(_text(line, has_names=has_names), flush=True)
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)

    def show(line: LogLine) -> None:
        # Text, since square brackets in a string would be read as styles.
        text = Text(_text(line, has_names=has_names), style=_STYLES.get(line.level, ""))
        console.print(text, soft_wrap=True)

    return show


def _text(line: LogLine, *, has_names: bool) -> str:
    from mms.cli.printing import printable

    if line.is_gap:
        return "... lines are missing here: more came than the server keeps ..."
    whose = line.worker or (line.model if has_names else "server")
    return f"{line.time} {line.level:<5} {printable(whose)}  {printable(line.message)}"
