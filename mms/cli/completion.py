"""`mms completion`: what makes a shell complete the command's words."""

from __future__ import annotations

import os
from pathlib import PurePath

import click

_VARIABLE = "_MMS_COMPLETE"
_SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(_SHELLS), required=False)
@click.pass_context
def completion(context: click.Context, shell: str | None) -> None:
    """Print the script by which a shell completes what is typed.

    Without SHELL it is the shell of the variable SHELL. For bash, add to ~/.bashrc: eval "$(mms completion bash)"
    """
    from click.shell_completion import get_completion_class

    shell = shell or PurePath(os.environ.get("SHELL", "")).name
    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"Name the shell: {', '.join(_SHELLS)}.")
    root = context.find_root()
    click.echo(kind(root.command, {}, "mms", _VARIABLE).source())
