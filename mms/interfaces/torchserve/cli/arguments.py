"""The arguments of `torchserve`. Standard library alone: the launcher must start at once."""

from __future__ import annotations

import argparse

from mms.text.flags import FlagParser


def torchserve_parser() -> argparse.ArgumentParser:
    """Return the parser of the command; unambiguous prefixes of flags are taken for the flags."""
    parser = FlagParser(
        prog="torchserve",
        description="Serves model archives over HTTP and gRPC, as TorchServe does. Without --stop and --version it "
        "starts the server.",
    )
    action = parser.add_mutually_exclusive_group()
    action.add_argument("-v", "--version", action="store_true", help="Print the version.")
    action.add_argument("--start", action="store_true", help="Start the server; the default.")
    action.add_argument(
        "--stop", action="store_true", help="Stop the running server, after its last answers."
    )
    parser.add_argument(
        "--ts-config",
        metavar="FILE",
        help="Properties file. Without it: that of the variable TS_CONFIG_FILE, else the newest snapshot of "
        "logs/config, else config.properties of the current folder.",
    )
    parser.add_argument(
        "--model-store",
        metavar="DIR",
        help="The folder of model archives; needed unless the file has model_store.",
    )
    parser.add_argument(
        "--workflow-store",
        metavar="DIR",
        help="The folder of workflow archives; the model store without it.",
    )
    parser.add_argument(
        "--models",
        nargs="+",
        metavar="[NAME=]LOCATION",
        help="Models to load at start: archives of the model store, or urls; all for the whole store.",
    )
    parser.add_argument(
        "--log-config",
        metavar="FILE",
        help="Python logging configuration, YAML or JSON. Of a log4j file the levels are honoured.",
    )
    parser.add_argument(
        "--cpp-log-config", metavar="FILE", help="Taken without effect: there is no backend in C++."
    )
    parser.add_argument(
        "--foreground",
        action="store_true",
        help="Run in the foreground, until it is stopped; with --stop nothing changes, as it always waits.",
    )
    parser.add_argument(
        "--no-config-snapshots",
        "--ncs",
        dest="no_config_snapshots",
        action="store_true",
        help="Read no snapshot of an earlier server.",
    )
    parser.add_argument(
        "--plugins-path",
        "--ppath",
        dest="plugins_path",
        metavar="DIR",
        help="A folder of endpoint plugins written in Python; jar files have no effect.",
    )
    parser.add_argument(
        "--disable-token-auth",
        "--dt",
        dest="disable_token_auth",
        action="store_true",
        help="Requests need no token.",
    )
    parser.add_argument(
        "--enable-model-api",
        action="store_true",
        help="Clients may register and unregister models.",
    )
    parser.add_argument(
        "--pid-file",
        metavar="FILE",
        help="Where the process id is kept; several servers of one temporary folder need one each.",
    )
    return parser
