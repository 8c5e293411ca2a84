"""Packing by a command line and by parsed arguments."""

from __future__ import annotations

import argparse
import logging
import sys

from archiver.cli import main
from archiver.errors import PackError
from archiver.torch import ModelArchiverConfig, pack_model

from .model_archiver_error import ModelArchiverError
from .model_packaging_utils import ModelExportUtils


def package_model(args: argparse.Namespace, manifest: str) -> None:
    """Packs as `args` say, with `manifest` as the manifest's text; logs a fault and ends in SystemExit(1)."""
    temporary_files: list[str] = []
    try:
        ModelExportUtils.validate_inputs(args.model_path, args.model_name, args.export_path)
        export_path = ModelExportUtils.check_mar_already_exists(
            args.model_name, args.export_path, args.force, args.archive_format
        )
        excluded: list[str] = []
        if args.convert:
            temporary_files, excluded = ModelExportUtils.check_custom_model_types(
                args.model_path, args.model_name
            )
        ModelExportUtils.archive(
            export_path, args.model_name, args.model_path, excluded, manifest, args.archive_format
        )
    except ModelArchiverError as error:
        logging.error(error)  # the message is for the user, a traceback is not
        sys.exit(1)
    finally:
        ModelExportUtils.clean_temp_files(temporary_files)


def generate_model_archive(config: ModelArchiverConfig | None = None) -> None:
    """Pack a model as TorchServe's archiver does; raises ModelArchiverError where that fails.

    Without a `config` it is the command `model-archiver`: it packs as `sys.argv` says, and ends in SystemExit where
    that fails.
    """
    if config is not None:
        try:
            pack_model(config, logging.warning)
        except PackError as error:
            raise ModelArchiverError(str(error)) from None
        return
    code = main()
    if code:
        sys.exit(code)


if __name__ == "__main__":
    generate_model_archive()
