"""`mms mlrun`: serves functions of MLRun's, and runs scripts that make and test them."""

from __future__ import annotations

import sys
from typing import Any

import click

from mms.cli.printing import CommandGroup

_SERVE = "serve"


class _Commands(CommandGroup):
    """`mms mlrun SPEC` is `mms mlrun serve SPEC`, which most calls want."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), _SERVE})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name == _SERVE:
            # Scripts need nothing of the server.
            from mms.interfaces.mlrun.cli.serving import serve

            return serve
        return super().get_command(ctx, cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.list_commands(ctx):
            args = [_SERVE, *args]
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        # Options before the spec are those of serving, except for help.
        if args and args[0].startswith("-") and args[0] not in ("-h", "--help"):
            args = [_SERVE, *args]
        return super().parse_args(ctx, args)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
def mlrun() -> None:
    """Serve functions made for MLRun, without MLRun.

    `mms mlrun serving_spec.json` serves the function of a serving spec. `mms mlrun run script.py` runs a script that
    imports mlrun to build a function and test it.
    """


@mlrun.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("script", type=click.Path(exists=True, dir_okay=False))
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def run(script: str, arguments: tuple[str, ...]) -> None:
    """Run SCRIPT (.py or .ipynb) with its ARGUMENTS as Python would.

    All cells of a notebook run. `import mlrun` gives it this server's own package, unless MLRun's is installed.
    """
    run_script(script, list(arguments))


def run_script(script: str, arguments: list[str]) -> dict[str, Any]:
    """Return the names that the script has at its end. Raises whatever it raises."""
    import os
    import runpy

    from mms.interfaces.mlrun.authoring.shim import use_mlrun_shim

    folder = os.path.dirname(os.path.abspath(script))
    sys.argv = [script, *arguments]
    # As Python has it: a script's own folder comes first.
    if sys.path[0] != folder:
        sys.path.insert(0, folder)
    use_mlrun_shim()
    if not script.endswith(".ipynb"):
        return runpy.run_path(script, run_name="__main__")
    from types import ModuleType

    from mms.interfaces.mlrun.spec.code_file import NOTEBOOK_NAMES, code_to_run

    main = ModuleType("__main__")
    main.__file__ = script
    vars(main).update(NOTEBOOK_NAMES)
    sys.modules["__main__"] = main
    exec(compile(code_to_run(script), script, "exec"), main.__dict__)
    return main.__dict__
