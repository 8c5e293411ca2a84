"""What the help of `mms` lists, and the options that its commands share."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest

from mms.cli.mms import main
from mms.interfaces.mlrun.cli.commands import mlrun

#: Commands that serve, which print no answer of their own, and the script of a shell.
_WITHOUT_JSON = {"microservice", "mlrun", "completion"}


def groups_in(command: click.Command, *names: str) -> Iterator[tuple[tuple[str, ...], click.Group]]:
    if isinstance(command, click.Group):
        yield names, command
        for name, part in command.commands.items():
            yield from groups_in(part, *names, name)


GROUPS = [*groups_in(main), (("mlrun",), mlrun)]


@pytest.mark.parametrize("columns", [50, 80, 200])
@pytest.mark.parametrize(("names", "group"), GROUPS, ids=[" ".join(n) or "mms" for n, _ in GROUPS])
def test_help_says_the_whole_of_what_each_command_is_for(
    names: tuple[str, ...], group: click.Group, columns: int
) -> None:
    context = click.Context(group, terminal_width=columns)
    _, _, listed = " ".join(group.get_help(context).split()).partition("Commands: ")
    commands = [group.get_command(context, name) for name in group.list_commands(context)]
    assert len(commands) > 1
    for command in commands:
        assert command is not None
        assert command.get_short_help_str(1000) in listed, command.name
    assert "..." not in listed


def test_each_command_has_the_same_option_for_json() -> None:
    commands = {name: part for _, group in groups_in(main) for name, part in group.commands.items()}
    options = {
        name: [(param.name, param.opts) for param in command.params if "--json" in param.opts]
        for name, command in commands.items()
        if not isinstance(command, click.Group)
    }
    for name, option in options.items():
        if name in _WITHOUT_JSON:
            assert not option, name
        else:
            assert option == [("is_json", ["--json"])], name
