"""The flags of `model-archiver` for packing: those of MMS's archiver, of torch-model-archiver, and its own."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from archiver.component import PREPACKAGED, SERVICE_TYPES
from archiver.errors import ArchiveError
from archiver.layouts import find_layout
from archiver.version import __version__
from mms.interfaces import CHOICES
from mms.registration import RUNTIMES
from mms.text.brief import brief
from mms.text.flags import FlagParser

# The words that MMS's archiver knows. Their abbreviations stay valid whatever is added beside them.
_MMS_OPTIONS: Final = (
    "--help",
    "--model-name",
    "--model-path",
    "--handler",
    "--runtime",
    "--export-path",
    "--archive-format",
    "--force",
    "--convert",
)


def pack_parser() -> argparse.ArgumentParser:
    """Return the parser of the plain call."""
    parser = _PackParser(
        prog="model-archiver",
        description="Packs a folder with a model and its handler into an archive that a model server loads.",
        epilog="Further commands:\n"
        "  model-archiver inspect ARCHIVE [--json]   show manifest, files, sizes and SHA-256\n"
        "  model-archiver verify ARCHIVE [--key FILE] [--json]   find what a server would refuse\n"
        "  model-archiver keygen NAME                make a key pair to sign archives with\n"
        "  model-archiver sign ARCHIVE --key FILE    sign an archive's files",
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument(
        "--model-name",
        required=True,
        help="name of the model, and with the format's suffix of the archive",
    )
    parser.add_argument("--model-path", required=True, help="folder with the model's files")
    parser.add_argument(
        "--handler",
        required=True,
        help="module and function that serve the model, as in service:handle, or the class of a Seldon component, "
        "of a model server of MLRun or of a model of tensors, as in module:Class; a folder with config.pbtxt or "
        "model-settings.json tells it itself",
    )
    parser.add_argument(
        "--runtime",
        default="python",
        choices=RUNTIMES,
        help='interpreter that the handler runs in (default "python")',
    )
    parser.add_argument(
        "--export-path",
        default=os.getcwd(),
        help="existing folder that the archive is written to (default: the current one)",
    )
    parser.add_argument(
        "--parents",
        action="store_true",
        help="make the folder of --export-path, and those above it",
    )
    parser.add_argument(
        "--output",
        metavar="NAME",
        help="name of the archive, if it is not the model's; with or without the format's suffix",
    )
    parser.add_argument(
        "--archive-format",
        default="default",
        choices=("tgz", "no-archive", "default"),
        help='"default": MODEL_NAME.mar, a zip file\n'
        '"tgz": MODEL_NAME.tar.gz, with everything below the folder MODEL_NAME\n'
        '"no-archive": a folder MODEL_NAME',
    )
    parser.add_argument("-f", "--force", action="store_true", help="replace what is there")
    parser.add_argument(
        "-c",
        "--convert",
        action="store_true",
        help="kept for scripts written for MMS, which converted ONNX models to MXNet",
    )
    _add_component_options(parser)
    _add_manifest_options(parser)
    files = parser.add_argument_group("which files")
    files.add_argument(
        "--include-hidden",
        action="store_true",
        help="pack files and folders whose name begins with a dot, too",
    )
    files.add_argument(
        "--exclude",
        metavar="GLOB",
        action="append",
        default=[],
        help='leave out what matches, as in "*.log" or "data/*"; may be given several times',
    )
    return parser


def _add_component_options(parser: argparse.ArgumentParser) -> None:
    component = parser.add_argument_group("Seldon components and model servers of MLRun")
    component.add_argument(
        "--interface",
        default="auto",
        choices=CHOICES,
        help="contract that the handler is written to (default: what its source shows)",
    )
    component.add_argument(
        "--service-type",
        choices=SERVICE_TYPES,
        help="what the component does in a graph (default: MODEL)",
    )
    component.add_argument(
        "--param",
        metavar="NAME=VALUE:TYPE",
        dest="parameters",
        action="append",
        default=[],
        help="argument of its constructor, TYPE one of INT, FLOAT, DOUBLE, STRING, BOOL; for a model server of MLRun "
        "NAME=VALUE will do; may be given several times",
    )
    component.add_argument(
        "--model-uri",
        metavar="URI",
        help="where its model files are fetched from: a path, file://, http(s)://, s3://, gs://, models:/",
    )
    component.add_argument(
        "--prepackaged",
        choices=PREPACKAGED,
        help="server that loads the model files of MODEL_PATH without a handler",
    )


class _VersionAction(argparse.Action):
    """The model's version, as with torch-model-archiver; without a value, the program's."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        if values is None:
            sys.stdout.write(f"model-archiver {__version__}\n")
            parser.exit()
        namespace.model_version = values


def _add_manifest_options(parser: argparse.ArgumentParser) -> None:
    manifest = parser.add_argument_group("manifest")
    manifest.add_argument("--model-version", help="version of the model")
    manifest.add_argument(
        "--version",
        nargs="?",
        action=_VersionAction,
        default=argparse.SUPPRESS,
        help="the same; without a value, print the version of this program",
    )
    manifest.add_argument("--description", help="a sentence that describes the model")
    manifest.add_argument("--author", help="who publishes the model")
    manifest.add_argument("--email", help="how to reach the author")
    manifest.add_argument("--license", help="the model's license")
    manifest.add_argument("--engine-name", help="library that the model runs in")
    manifest.add_argument("--engine-version", help="version of that library")
    manifest.add_argument(
        "--extensions",
        metavar="JSON",
        type=_extensions,
        help="JSON object for the model's own use, or @FILE with one",
    )


class _PackParser(FlagParser):
    """Expands the abbreviations of MMS's options first, so that options added here make none of them ambiguous."""

    def parse_known_args(  # type: ignore[override]  # the overloads of the base say no more than this
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        words = [_expanded(word) for word in (sys.argv[1:] if args is None else args)]
        for action in self._actions:
            if action.dest == "handler":
                action.required = not any(word.startswith("--pre") for word in words) and not (
                    _has_layout(words)
                )
        return super().parse_known_args(words, namespace)


def _has_layout(words: Sequence[str]) -> bool:
    """Return whether the folder of --model-path tells its handler itself, in the layout of another server."""
    folder = ""
    for place, word in enumerate(words):
        option, equals, value = word.partition("=")
        if option == "--model-path":
            folder = value if equals else (words[place + 1] if place + 1 < len(words) else "")
    try:
        return bool(folder) and find_layout(Path(folder)) is not None
    except (ArchiveError, OSError):
        # To be said with the folder's name, once the other arguments are known to be right.
        return True


def _expanded(word: str) -> str:
    option, equals, value = word.partition("=")
    if len(option) <= len("--") or not option.startswith("--"):
        return word
    matches = [known for known in _MMS_OPTIONS if known.startswith(option)]
    return f"{matches[0]}{equals}{value}" if len(matches) == 1 else word


def _extensions(value: str) -> dict[str, Any]:
    try:
        text = Path(value[1:]).read_text(encoding="utf-8") if value.startswith("@") else value
        document = json.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise argparse.ArgumentTypeError(f"{brief(value)} is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise argparse.ArgumentTypeError(f"{brief(value)} is not a JSON object")
    return document
