"""The command `torch-model-archiver`, with TorchServe's flags, messages and manifest.

Exit codes: 0 done, 1 an `ERROR - ...` line on standard error, 2 wrong usage.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

from archiver.errors import ArchiveError
from archiver.manifest import MANIFEST_NAME
from archiver.packing.writers import ArchiveFormat, SourceManifest, write_selection
from archiver.torch.files import (
    FilesToPack,
    base_names,
    check_export_path,
    check_name,
    check_target,
)
from mms.interfaces.torchserve.handler_names import is_default_handler
from mms.text.flags import FlagParser

#: The archiver whose archives these are, and what its manifests say of it.
RELEASE: Final = "0.12.0"
_LSP: Final = "LSP"
_RUNTIMES: Final = ("python", "python3", _LSP)
_SUFFIXES: Final = {"tgz": ".tar.gz", "no-archive": "", "zip-store": ".mar", "default": ".mar"}
#: What handlers in C++ need no file for.
_OF_CPP: Final = ("BaseHandler", "TorchScriptHandler")


@dataclass
class ModelArchiverConfig:
    """What goes into an archive; members are the flags of the command."""

    model_name: str
    handler: str
    version: str
    serialized_file: str | None = None
    model_file: str | None = None
    extra_files: str | None = None
    runtime: str = "python"
    export_path: str | None = None
    archive_format: str = "default"
    force: bool = False
    requirements_file: str | None = None
    config_file: str | None = None

    @classmethod
    def from_args(cls, arguments: argparse.Namespace) -> ModelArchiverConfig:
        return cls(**{field.name: getattr(arguments, field.name) for field in fields(cls)})


def pack_model(
    config: ModelArchiverConfig, warn: Callable[[str], None] = lambda text: None
) -> Path:
    """Write the archive and return its path. Raises PackError and OSError; nothing is left behind then."""
    check_name(config.model_name, "Model")
    export_path = config.export_path or os.getcwd()
    check_export_path(export_path)
    target = Path(export_path, config.model_name + _SUFFIXES[config.archive_format])
    check_target(target, force=config.force, what="model", warn=warn)
    files = FilesToPack(warn)
    for path in (config.model_file, config.serialized_file, _handler_file(config)):
        if path:
            files.add(path)
    if config.extra_files:
        files.add_extra(config.extra_files)
    for path in (config.requirements_file, config.config_file):
        if path:
            files.add(path)
    forms: dict[str, ArchiveFormat] = {"tgz": "tgz", "no-archive": "no-archive"}
    write_selection(
        files.selection(),
        str(target),
        SourceManifest(MANIFEST_NAME, json.dumps(manifest_of(config), indent=2).encode()),
        model_name=config.model_name,
        archive_format=forms.get(config.archive_format, "default"),
        is_compressed=config.archive_format != "zip-store",
    )
    return target


def manifest_of(config: ModelArchiverConfig) -> dict[str, object]:
    """Return the manifest as TorchServe's archiver writes it."""
    serialized, model_file, requirements, config_file, handler = base_names(
        *(config.serialized_file, config.model_file, config.requirements_file, config.config_file),
        config.handler,
    )
    model = {
        "modelName": config.model_name,
        "serializedFile": serialized,
        "handler": handler,
        "modelFile": model_file,
        "modelVersion": config.version,
        "requirementsFile": requirements,
        "configFile": config_file,
    }
    return {
        "createdOn": created_on(),
        "runtime": config.runtime,
        "model": {name: value for name, value in model.items() if value},
        "archiverVersion": RELEASE,
    }


def created_on() -> str:
    """Return the time as the manifest has it; that of SOURCE_DATE_EPOCH where archives are to be the same again."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    moment = time.gmtime(int(epoch)) if epoch.isdecimal() else time.localtime()
    return time.strftime("%d/%m/%Y %H:%M:%S", moment)


def _handler_file(config: ModelArchiverConfig) -> str | None:
    """Return the file that a handler names; None for one of TorchServe's own."""
    path = config.handler.partition(":")[0]
    if config.runtime == _LSP:
        suffix = ".dylib" if sys.platform == "darwin" else ".so"
        return None if path in _OF_CPP else path + suffix
    if is_default_handler(path):
        return None
    return path if path.endswith(".py") else f"{path}.py"


def model_parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    parser = FlagParser(
        prog="torch-model-archiver",
        description="Puts a model and its handler into an archive, as TorchServe's archiver does.",
    )
    parser.add_argument(
        "--model-name", required=True, metavar="NAME", help="Name of the model, and of the archive."
    )
    parser.add_argument(
        "-v", "--version", required=True, metavar="VERSION", help="Version of the model."
    )
    parser.add_argument(
        "--handler",
        required=True,
        metavar="HANDLER",
        help="Path of a Python file, which may be without its ending and with :function behind it, or the name of one "
        "of TorchServe's own handlers, such as image_classifier.",
    )
    parser.add_argument(
        "--serialized-file",
        metavar="FILE",
        help="The weights: a state dict, a TorchScript module or an ONNX file.",
    )
    parser.add_argument(
        "--model-file",
        metavar="FILE",
        help="The Python file with the class of a model that is saved as a state dict.",
    )
    parser.add_argument(
        "--extra-files",
        metavar="LIST",
        help="Further files, with commas between them: paths, patterns, and folders, whose content goes to the root.",
    )
    parser.add_argument(
        "--runtime",
        choices=_RUNTIMES,
        default="python",
        help="What runs the handler; python without it. LSP is TorchServe's backend in C++.",
    )
    parser.add_argument(
        "--export-path",
        metavar="DIR",
        help="The folder for the archive; the current one without it.",
    )
    parser.add_argument(
        "--archive-format",
        choices=tuple(_SUFFIXES),
        default="default",
        help="default: NAME.mar; zip-store: the same without compression; tgz: NAME.tar.gz; no-archive: a folder NAME.",
    )
    parser.add_argument(
        "-f", "--force", action="store_true", help="Replace an archive that is there."
    )
    parser.add_argument(
        "-r",
        "--requirements-file",
        metavar="FILE",
        help="The Python packages that the model needs.",
    )
    parser.add_argument(
        "-c",
        "--config-file",
        metavar="FILE",
        help="How the model runs: batch size, workers and more, in YAML.",
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code; wrong usage ends in SystemExit(2)."""
    config = ModelArchiverConfig.from_args(model_parser().parse_args(arguments))
    return report(lambda: pack_model(config, warn))


def report(pack: Callable[[], object]) -> int:
    """Return the exit code of a command that packs, and say what was wrong."""
    try:
        pack()
    except (ArchiveError, OSError) as error:
        _log("ERROR", _text_of(error))
        return 1
    except KeyboardInterrupt:
        _log("ERROR", "Interrupted.")
        return 130
    return 0


def _text_of(error: Exception) -> str:
    if isinstance(error, FileNotFoundError) and error.filename is not None:
        return f"{error.filename} does not exist."
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}."
    return str(error)


def warn(message: str) -> None:
    """Print a warning on standard error."""
    _log("WARNING", message)


def _log(level: str, message: str) -> None:
    sys.stderr.write(f"{level} - {message}\n")


if __name__ == "__main__":
    sys.exit(main())
