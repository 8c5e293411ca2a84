"""`--set NAME=VALUE`: settings of the server on a command line that starts it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import click

#: The pairs are `more_settings` of the command.
SET_OPTION: Final = click.option(
    "--set",
    "more_settings",
    metavar="NAME=VALUE",
    multiple=True,
    help="A setting of the server; may be given several times.",
)


def settings_in(pairs: Iterable[str]) -> dict[str, str]:
    """Return the settings of the option by their names. Raises ClickException for what is no pair."""
    settings = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise click.ClickException(f"--set {pair} should be NAME=VALUE")
        settings[name.strip()] = value
    return settings
