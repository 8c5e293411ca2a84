"""The parser of the plain `model-archiver` call."""

from __future__ import annotations

import argparse

from archiver.pack_parser import pack_parser


class ArgParser:
    @staticmethod
    def export_model_args_parser() -> argparse.ArgumentParser:
        return pack_parser()
