"""`mms new NAME`: writes a model that runs, to begin with."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click

from mms.cli.new.kinds import KINDS
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
def new(name: Path, kind: str) -> None:
    """Write a model, a test of it and a README into the folder NAME, which is made.

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
    click.echo(f"Wrote {', '.join(files)} into {name}. Next:")
    click.echo(f"  mms serve {shlex.quote(shown)} --reload")
    click.echo(f"  mms predict {title} -f {shlex.quote(f'{shown}/{KINDS[kind].sample_file}')}")
