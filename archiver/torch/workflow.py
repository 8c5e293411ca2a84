"""The command `torch-workflow-archiver`, with TorchServe's flags, messages and manifest."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from archiver.packing.writers import SourceManifest, write_selection
from archiver.torch.files import (
    FilesToPack,
    base_names,
    check_export_path,
    check_name,
    check_target,
)
from archiver.torch.model import created_on, report, warn
from mms.text.flags import FlagParser

WORKFLOW_MANIFEST_NAME: Final = "WAR-INF/MANIFEST.json"
_RELEASE: Final = "0.2.15"


def workflow_parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    parser = FlagParser(
        prog="torch-workflow-archiver",
        description="Puts the specification of a workflow and its functions into an archive, as TorchServe's archiver "
        "does.",
    )
    parser.add_argument(
        "--workflow-name",
        required=True,
        metavar="NAME",
        help="Name of the workflow, and of the archive.",
    )
    parser.add_argument(
        "--spec-file", required=True, metavar="FILE", help="The models and their order, in YAML."
    )
    parser.add_argument(
        "--handler",
        metavar="FILE",
        help="The Python file with the functions that are nodes of the workflow.",
    )
    parser.add_argument(
        "--extra-files",
        metavar="LIST",
        help="Further files, with commas between them: paths, patterns, and folders, whose content goes to the root.",
    )
    parser.add_argument(
        "--export-path",
        metavar="DIR",
        help="The folder for the archive; the current one without it.",
    )
    parser.add_argument(
        "-f", "--force", action="store_true", help="Replace an archive that is there."
    )
    return parser


def pack_workflow(arguments: argparse.Namespace, tell: Callable[[str], None]) -> Path:
    """Write the archive and return its path. Raises PackError and OSError; nothing is left behind then."""
    name = arguments.workflow_name
    check_name(name, "Workflow")
    export_path = arguments.export_path or os.getcwd()
    check_export_path(export_path)
    target = Path(export_path, f"{name}.war")
    check_target(target, force=arguments.force, what="workflow", warn=tell)
    files = FilesToPack(tell)
    for path in (arguments.spec_file, arguments.handler):
        if path:
            files.add(path)
    if arguments.extra_files:
        files.add_extra(arguments.extra_files)
    spec, handler = base_names(arguments.spec_file, arguments.handler)
    workflow = {"workflowName": name, "specFile": spec}
    if handler:
        workflow["handler"] = handler
    manifest = {"createdOn": created_on(), "workflow": workflow, "archiverVersion": _RELEASE}
    write_selection(
        files.selection(),
        str(target),
        SourceManifest(WORKFLOW_MANIFEST_NAME, json.dumps(manifest, indent=2).encode()),
        model_name=name,
        archive_format="default",
    )
    return target


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code; wrong usage ends in SystemExit(2)."""
    options = workflow_parser().parse_args(arguments)
    return report(lambda: pack_workflow(options, warn))


if __name__ == "__main__":
    sys.exit(main())
