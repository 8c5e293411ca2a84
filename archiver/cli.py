"""The command `model-archiver`: MMS's own call without a subcommand, and `inspect`, `verify`, `sign` and `keygen`.

The plain call keeps MMS's flags, defaults, messages and exit codes: 0 done, 1 an `ERROR - ...` line on standard error,
2 wrong usage.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from archiver import report
from archiver.component import (
    InvalidComponent,
    argument_of_text,
    parameter_of_text,
)
from archiver.component_options import describe_component, interface_of
from archiver.errors import ArchiveError, PackError
from archiver.layouts import find_layout
from archiver.pack_parser import pack_parser
from archiver.packing.pack import (
    check_inputs,
    check_output,
    checked_manifest,
    output_path,
    refuse_conversion,
)
from archiver.packing.writers import write_archive
from archiver.progress import Progress
from archiver.signing.keys import (
    InvalidKey,
    TrustedKeys,
    generate_key,
    is_readable_by_others,
    load_private_key,
)
from archiver.signing.sign import sign
from archiver.verify import packed_findings, verify
from mms.text.flags import FlagParser

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

# Below it packing takes a second or two, and a bar would only flash by.
_PROGRESS_FROM_BYTES: Final = 64 * 1024 * 1024
_INTERRUPTED: Final = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code; wrong usage ends in SystemExit(2)."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    commands: Mapping[str, Callable[[list[str]], int]] = {
        "inspect": _inspect,
        "verify": _verify,
        "sign": _sign,
        "keygen": _keygen,
    }
    try:
        if words and words[0] in commands:
            return commands[words[0]](words[1:])
        return _pack(words)
    except (ArchiveError, OSError) as error:
        if isinstance(error, BrokenPipeError):
            # The reader of the pipe has gone; a flush at exit must not fail again.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        _log("ERROR", _text_of(error))
        return 1
    except KeyboardInterrupt:
        _log("ERROR", "Interrupted.")
        return _INTERRUPTED


def _pack(words: list[str]) -> int:
    parser = pack_parser()
    options = parser.parse_args(words)
    check_inputs(
        *(options.model_path, options.model_name, options.export_path), parents=options.parents
    )
    layout = None
    if options.handler is None and not options.prepackaged:
        layout = find_layout(Path(options.model_path))
    if layout is not None:
        options.handler = layout.handler
        options.model_version = options.model_version or layout.model_version
        for problem in layout.problems:
            _warn(f"{layout.file}: {problem}")
    interface = interface_of(
        options.model_path, options.handler, options.interface, options.prepackaged
    )
    read = argument_of_text if interface.has_json_arguments else parameter_of_text
    try:
        parameters = [read(text) for text in options.parameters]
    except InvalidComponent as error:
        parser.error(f"argument --param: {error}")
    described = describe_component(
        options.model_path,
        options.handler,
        interface=options.interface,
        service_type=options.service_type,
        parameters=parameters,
        model_uri=options.model_uri,
        prepackaged=options.prepackaged,
        extensions=options.extensions,
        warn=_warn,
    )
    manifest = checked_manifest(
        model_name=options.model_name,
        handler=described.handler,
        runtime=options.runtime,
        model_version=options.model_version,
        description=options.description,
        author=options.author,
        email=options.email,
        license=options.license,
        engine_name=options.engine_name,
        engine_version=options.engine_version,
        extensions=described.extensions,
    )
    target = output_path(
        *(options.export_path, options.output or options.model_name, options.archive_format)
    )
    check_output(target, force=options.force, warn=_warn)
    if options.convert:
        refuse_conversion(options.model_path)
    try:
        with _shown_progress() as progress:
            write_archive(
                options.model_path,
                target,
                model_name=options.model_name,
                manifest_text=manifest.to_json(),
                archive_format=options.archive_format,
                include_hidden=options.include_hidden,
                exclude=options.exclude,
                progress=progress,
                warn=_warn,
            )
    except OSError as error:
        raise PackError(
            f'Failed to save the model-archive to model-path "{options.export_path}". '
            f"Check the file permissions and retry. ({error})"
        ) from error
    for finding in packed_findings(target, is_class_checked=interface.has_classes):
        _warn(finding.message)
    return 0


class _ProgressBar:
    """A bar on standard error for big models, when somebody is there to see it."""

    def __init__(self) -> None:
        self._bar: Bar | None = None
        self._task: TaskID | None = None

    def show(self, done_bytes: int, total_bytes: int, name: str) -> None:
        if total_bytes < _PROGRESS_FROM_BYTES:
            return
        if self._bar is None or self._task is None:
            self._bar = _new_bar()
            self._task = self._bar.add_task("", total=total_bytes)
            self._bar.start()
        self._bar.update(self._task, completed=done_bytes, description=Path(name).name)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.stop()


def _new_bar() -> Bar:
    # Imported here because most calls pack small models or write to a log.
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    return Bar(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )


@contextmanager
def _shown_progress() -> Iterator[Progress | None]:
    if not sys.stderr.isatty():
        yield None
        return
    bar = _ProgressBar()
    try:
        yield bar.show
    finally:
        bar.close()


def _inspect(words: list[str]) -> int:
    parser = FlagParser(
        prog="model-archiver inspect", description="Shows an archive's manifest, files and hashes."
    )
    _add_archive_options(parser)
    options = parser.parse_args(words)
    inspection = report.inspect(Path(options.archive))
    if options.json:
        print(report.as_json(inspection))
    elif sys.stdout.isatty():
        report.print_table(inspection)
    else:
        print(report.as_text(inspection))
    return 0 if inspection.manifest_error is None else 1


def _verify(words: list[str]) -> int:
    parser = FlagParser(
        prog="model-archiver verify",
        description="Finds what a server would refuse in an archive. Exit code 0: nothing, 1: something.",
    )
    _add_archive_options(parser)
    parser.add_argument(
        "--key",
        metavar="FILE",
        action="append",
        default=[],
        help="public key that has to have signed it, or a folder of such keys; may be given several times",
    )
    options = parser.parse_args(words)
    trusted = TrustedKeys.load(options.key) if options.key else None
    findings = verify(options.archive, trusted=trusted)
    is_good = all(finding.level != "error" for finding in findings)
    if options.json:
        listed = [{"level": finding.level, "message": finding.message} for finding in findings]
        print(json.dumps({"path": options.archive, "ok": is_good, "findings": listed}, indent=2))
        return 0 if is_good else 1
    for finding in findings:
        _log(finding.level.upper(), finding.message)
    print(f"{options.archive}: {'ok' if is_good else 'would be refused'}")
    return 0 if is_good else 1


def _keygen(words: list[str]) -> int:
    parser = FlagParser(
        prog="model-archiver keygen",
        description="Makes a key pair: NAME.key to sign archives with, which stays secret, and NAME.pub for servers.",
    )
    parser.add_argument("name", metavar="NAME", help="path of both files without their endings")
    _add_passphrase_option(parser)
    options = parser.parse_args(words)
    private, public, identity = generate_key(Path(options.name), _passphrase(options))
    print(f"{private}: secret, to sign with\n{public}: for trusted_keys, the id is {identity}")
    return 0


def _sign(words: list[str]) -> int:
    parser = FlagParser(
        prog="model-archiver sign",
        description="Signs the files of an archive. The signatures of others stay where they are for the same files.",
    )
    parser.add_argument("archive", metavar="ARCHIVE", help="a .mar or .tar.gz file, or a folder")
    parser.add_argument(
        "--key", metavar="FILE", required=True, help="private key, as keygen makes it"
    )
    parser.add_argument(
        "--detached",
        action="store_true",
        help="leave the archive as it is and write ARCHIVE.sig beside it",
    )
    _add_passphrase_option(parser)
    options = parser.parse_args(words)
    key_file = Path(options.key)
    key = load_private_key(key_file, _passphrase(options))
    if is_readable_by_others(key_file):
        _warn(f"{key_file} can be read by users other than its owner; run chmod 600 on it")
    signature, target = sign(options.archive, key, is_detached=options.detached)
    print(f"{target}: {len(signature.entries)} files, signed by {', '.join(signature.signers)}")
    return 0


def _add_passphrase_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--passphrase-file", metavar="FILE", help="file whose first line protects the private key"
    )


def _passphrase(options: argparse.Namespace) -> bytes | None:
    if options.passphrase_file is None:
        return None
    lines = Path(options.passphrase_file).read_bytes().splitlines()
    if not lines or not lines[0]:
        raise InvalidKey(f"{options.passphrase_file} has no passphrase in its first line")
    return lines[0]


def _add_archive_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "archive", metavar="ARCHIVE", help="a .mar, .model or .tar.gz file, or a folder"
    )
    parser.add_argument("--json", action="store_true", help="write JSON")


def _text_of(error: Exception) -> str:
    """Return one line without Python's numbers."""
    if not isinstance(error, OSError) or error.filename is None:
        return str(error)
    if isinstance(error, FileNotFoundError):
        return f"{error.filename} does not exist."
    return f"{error.filename}: {error.strerror}."


def _warn(message: str) -> None:
    _log("WARNING", message)


def _log(level: str, message: str) -> None:
    print(f"{level} - {message}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
