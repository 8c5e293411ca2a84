"""`mms new NAME`: writes a model that runs, to begin with."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click

from mms.cli.connecting import as_json
from mms.cli.new.kinds import KINDS
from mms.cli.printing import print_json
from mms.text.brief import brief


@click.command()
@click.argument("name", type=click.Path(path_type=Path))
@click.option(
    "--kind",
    type=click.Choice(tuple(KINDS)),
    default="mms",
    show_default=True,
    help="The interface that the code is written to.",
)
@as_json
def new(name: Path, kind: str, is_json: bool) -> None:
    """Write a model, a test and a README into the new folder NAME.

    Then `mms serve NAME --reload` serves it.

    \b
    Examples:
      mms new hello
      mms new iris --kind openinference
    """
    title = name.absolute().name
    if title == ".." or not re.fullmatch(r"[\w.][\w.\-]*", title):
        # With a - at its begin every command would take it for an option.
        raise click.BadParameter(
            f"{brief(title)} is no name of a model: it has letters, digits, and - _ ., and does not begin with -.",
            param_hint="NAME",
        )
    # What is written and printed is to be typed.
    shown = f"./{name}" if str(name).startswith("-") else str(name)
    try:
        name.mkdir(parents=True, exist_ok=True)
        if any(name.iterdir()):
            raise click.ClickException(f"{name} is not empty. Name a folder that is not there yet.")
        files = KINDS[kind].files(title, shown)
        for file, text in files.items():
            (name / file).write_text(text, encoding="utf-8")
    except OSError as error:
        raise click.ClickException(f"{name} cannot be written: {error.strerror}.") from None
    next_commands = [
        f"mms serve {shlex.quote(shown)} --reload",
        f"mms predict {title} -f {shlex.quote(f'{shown}/{KINDS[kind].sample_file}')}",
    ]
    if is_json:
        print_json({"folder": str(name), "files": list(files), "next": next_commands})
        return
    click.echo(f"Wrote {', '.join(files)} into {name}. Next:")
    for command in next_commands:
        click.echo(f"  {command}")
