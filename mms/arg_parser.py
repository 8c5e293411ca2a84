"""The arguments of `multi-model-server`. Standard library alone: the launcher must start at once."""

from __future__ import annotations

import argparse

from mms.text.flags import FlagParser


class ArgParser:
    """MMS's own name for where its argument parsers are made."""

    @staticmethod
    def mms_parser() -> argparse.ArgumentParser:
        """The parser of the server command; unambiguous prefixes of flags are taken for the flags."""
        parser = FlagParser(
            prog="multi-model-server",
            description="Multi Model Server: serves model archives over HTTP.",
        )
        action = parser.add_mutually_exclusive_group()
        action.add_argument(
            "--start", action="store_true", help="Start the server; the default without --stop."
        )
        action.add_argument(
            "--stop", action="store_true", help="Stop the running server, after its last answers."
        )
        parser.add_argument(
            "--mms-config",
            metavar="FILE",
            help="Properties file; `sagemaker` stands for the packaged SageMaker settings. "
            "Without it config.properties of the current folder is read, if there is one.",
        )
        parser.add_argument("--model-store", metavar="DIR", help="The folder of model archives.")
        parser.add_argument(
            "--models",
            nargs="+",
            metavar="[NAME=]LOCATION",
            help="Models to load at start: archives of the model store, or urls (http, https, s3, gs); "
            "ALL for the whole store.",
        )
        parser.add_argument(
            "--log-config",
            metavar="FILE",
            help="Python logging configuration, YAML or JSON. Of a log4j file the levels are honoured.",
        )
        parser.add_argument(
            "--foreground", action="store_true", help="Run in the foreground, until it is stopped."
        )
        parser.add_argument(
            "--pid-file",
            metavar="FILE",
            help="Where the process id is kept; several servers of one temporary folder need one each.",
        )
        parser.add_argument(
            "--version", action="store_true", help="Print the version, and whether it is compiled."
        )
        return parser
