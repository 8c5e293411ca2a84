"""`--set NAME=VALUE`: settings of the server on a command line that starts it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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


def settings_in(pairs: Iterable[str], flags: Mapping[str, Mapping[str, object]]) -> dict[str, str]:
    """Return the settings of the option by their names.

    `flags`: by the name of a setting, what else of the command says it, with the value that is given, or None. Raises
    ClickException for what is no pair, and for a setting that a flag says, too.
    """
    settings = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise click.ClickException(f"--set {pair} should be NAME=VALUE")
        settings[name.strip()] = value
    for name, values in flags.items():
        said = [flag for flag, value in values.items() if value is not None]
        if name in settings and said:
            raise click.UsageError(
                f"{' and '.join([*said, f'--set {name}'])} say the same: give one of them."
            )
    return settings
