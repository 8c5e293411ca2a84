"""`python -m mms.cli.pages.settings`: the page of the settings and of the server command's flags, Markdown."""

from __future__ import annotations

import argparse
import sys

from mms.arg_parser import ArgParser
from mms.settings.page import settings_page

_HEADING = """
## Flags of multi-model-server

`mxnet-model-server` is the same command under its former name. An unambiguous beginning of a flag is taken for
the flag.

| flag | |
|---|---|
"""
_EXIT_CODES = """
The exit code is 0 only if the server came up, was stopped, or was not running. It is 1 if something
prevented that; one line says what. It is 2 if the flags are wrong. With `--foreground` it is the server's own.
"""


def document() -> str:
    """Return the whole page."""
    # The parser has no public list of what was added to it.
    rows = [_row(action) for action in ArgParser.mms_parser()._actions]
    return settings_page() + _HEADING + "\n".join(rows) + "\n" + _EXIT_CODES


def _row(action: argparse.Action) -> str:
    flags = ", ".join(f"`{flag}`" for flag in action.option_strings)
    more = " ..." if action.nargs == "+" else ""
    value = f" `{action.metavar}{more}`" if action.metavar else ""
    return f"| {flags}{value} | {action.help} |"


if __name__ == "__main__":
    sys.stdout.write(document())
