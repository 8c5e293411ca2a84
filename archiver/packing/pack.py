"""Packing a model folder into an archive: the checks of what was asked for, and the manifest."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, get_args

from archiver.component_options import describe_component
from archiver.errors import PackError
from archiver.manifest import Manifest
from archiver.packing.writers import ArchiveFormat, Warn, write_archive
from archiver.progress import Progress
from mms.registration import is_runtime
from mms.text.brief import brief

ARCHIVE_FORMATS: Final[tuple[ArchiveFormat, ...]] = get_args(ArchiveFormat)

_SUFFIXES: Final[Mapping[ArchiveFormat, str]] = {
    "default": ".mar",
    "tgz": ".tar.gz",
    "no-archive": "",
}
_NAME_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9_\-.]*$"


def pack(
    model_path: str | os.PathLike[str],
    *,
    model_name: str,
    handler: str | None = None,
    export_path: str | os.PathLike[str] | None = None,
    parents: bool = False,
    output: str | None = None,
    archive_format: ArchiveFormat = "default",
    force: bool = False,
    runtime: str = "python",
    model_version: str | None = None,
    description: str | None = None,
    author: str | None = None,
    email: str | None = None,
    license: str | None = None,
    engine_name: str | None = None,
    engine_version: str | None = None,
    extensions: Mapping[str, Any] | None = None,
    user_data: Any = None,
    interface: str = "auto",
    service_type: str | None = None,
    parameters: Sequence[Mapping[str, Any]] = (),
    model_uri: str | None = None,
    prepackaged: str | None = None,
    include_hidden: bool = False,
    exclude: Sequence[str] = (),
    progress: Progress | None = None,
    warn: Warn | None = None,
) -> Path:
    """Packs the folder `model_path` and returns the path of what was written.

    `export_path`: an existing folder, the current one by default; with `parents` it is made. The archive's name in it
    is `output`, by default `model_name`, with the format's suffix (`.mar`, `.tar.gz`, none for a folder). `force`
    replaces what is there. `runtime`: `python`, `python2`, `python3`, or the absolute path of an interpreter.
    `extensions`: a JSON object for the model's own use.
    `interface`: `seldon`, `mms`, or `auto` for what the handler's source shows. For Seldon components `service_type`,
    `parameters` of the constructor (`{"name", "value", "type"}`) and `model_uri`; `prepackaged` names a server that
    brings the class along and takes the place of `handler`.
    `exclude`: see `select_files`. `progress` gets (bytes done, bytes in all, file name), `warn` gets warnings.

    Raises PackError for what cannot be packed so, and OSError; in both cases nothing is left behind.
    """
    export = os.getcwd() if export_path is None else os.fspath(export_path)
    source = os.fspath(model_path)
    if archive_format not in ARCHIVE_FORMATS:
        raise PackError(
            f"archive format {brief(archive_format)} is not one of {', '.join(ARCHIVE_FORMATS)}"
        )
    check_inputs(source, model_name, export, parents=parents)
    described = describe_component(
        source,
        handler,
        interface=interface,
        service_type=service_type,
        parameters=parameters,
        model_uri=model_uri,
        prepackaged=prepackaged,
        extensions=extensions,
        warn=warn,
    )
    manifest = checked_manifest(
        model_name=model_name,
        handler=described.handler,
        runtime=runtime,
        model_version=model_version,
        description=description,
        author=author,
        email=email,
        license=license,
        engine_name=engine_name,
        engine_version=engine_version,
        extensions=described.extensions,
        user_data=user_data,
    )
    target = output_path(export, output or model_name, archive_format)
    check_output(target, force=force, warn=warn)
    write_archive(
        source,
        target,
        model_name=model_name,
        manifest_text=manifest.to_json(),
        archive_format=archive_format,
        include_hidden=include_hidden,
        exclude=exclude,
        progress=progress,
        warn=warn,
    )
    return Path(target)


def check_name(model_name: str) -> None:
    if not re.fullmatch(_NAME_PATTERN, model_name):
        raise PackError(
            "Model name contains special characters.\n"
            f"The allowed regular expression filter for model name is: {_NAME_PATTERN}"
        )


def check_inputs(
    model_path: str, model_name: str, export_path: str, *, parents: bool = False
) -> None:
    """Raise PackError, with MMS's messages, for a name or a path that cannot be used.

    With `parents` the export folder is made where it is not there, once the rest is right.
    """
    check_name(model_name)
    if parents and os.path.isdir(model_path) and not os.path.lexists(export_path):
        try:
            os.makedirs(export_path)
        except OSError as error:
            raise PackError(
                f"The export folder {export_path} cannot be made: {error.strerror}."
            ) from None
    if not os.path.isdir(export_path):
        raise PackError(
            f"Given export-path {export_path} is not a directory. Point to a valid export-path directory."
        )
    if not os.path.isdir(model_path):
        folder = os.path.dirname(os.path.abspath(model_path))
        is_file = f" It is a file; its folder is {folder}." if os.path.isfile(model_path) else ""
        raise PackError(
            f"Given model-path {model_path} is not a valid directory. Point to a valid model-path directory.{is_file}"
        )


def checked_manifest(**fields: Any) -> Manifest:
    """Return `Manifest.create(**fields)`, with a PackError for what a manifest cannot say."""
    if not fields["handler"]:
        raise PackError(
            "The handler is empty; it names a module and a function, as in service:handle."
        )
    if not is_runtime(fields["runtime"]):
        raise PackError(
            f"runtime {brief(fields['runtime'])} is not one of python, python2, python3 and no absolute path"
        )
    version = fields.get("model_version")
    if version is not None and not re.fullmatch(r"[^/\s]+", version):
        raise PackError(f"model version {brief(version)} is empty, or has a blank or a slash in it")
    if fields.get("engine_version") is not None and fields.get("engine_name") is None:
        raise PackError("An engine version needs an engine name with it.")
    manifest = Manifest.create(**fields)
    try:
        manifest.to_json()
    except (TypeError, ValueError, RecursionError) as error:
        raise PackError(f"The extensions or user data cannot be written as JSON: {error}") from None
    return manifest


def output_path(export_path: str, name: str, archive_format: ArchiveFormat) -> str:
    """Return the path of the archive `name`, with its suffix or without. Raises PackError for no file's name."""
    suffix = _SUFFIXES[archive_format]
    stem = name.removesuffix(suffix)
    if stem in ("", ".", "..") or re.search(r"[/\\\x00-\x1f]", stem):
        raise PackError(
            f"The output {brief(name)} is not a file's name; --export-path says which folder it goes to."
        )
    return os.path.join(export_path, stem + suffix)


def check_output(target: str, *, force: bool, warn: Warn | None = None) -> None:
    """Raise PackError where something is at `target` and `force` is off; warns where it is on."""
    if not os.path.lexists(target):
        return
    if not force:
        raise PackError(
            f"{target} already exists.\n"
            "Please specify --force/-f option to overwrite the model archive output file.\n"
            "See -h/--help for more details."
        )
    if warn is not None:
        warn(f"Overwriting {target} ...")


def refuse_conversion(model_path: str) -> None:
    """Raise PackError where MMS would have converted an ONNX model to MXNet; passes where there is none."""
    onnx_file = find_unique(os.listdir(model_path), ".onnx")
    if onnx_file is not None:
        raise PackError(
            f"{onnx_file} is not converted, as there is no MXNet any more: leave --convert out, and load the file in "
            "the handler with ONNX Runtime (onnxruntime.InferenceSession)."
        )


def find_unique(names: Iterable[str], suffix: str) -> str | None:
    """Return the one name with that suffix, None where there is none. Raises PackError where there are several."""
    found = sorted(name for name in names if name.endswith(suffix))
    if len(found) > 1:
        raise PackError(
            f"model-archiver expects only one {suffix} file in the folder. Found {len(found)} files {found} "
            "in model-path."
        )
    return found[0] if found else None
