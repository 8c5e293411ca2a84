"""`mms mlrun SPEC`: serves a function of MLRun's from its document, with its code."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any, Final

import click

from mms.cli.connecting import settings_of
from mms.cli.serve.ports import PortUnusable, check_port, choose_listeners
from mms.cli.set_option import SET_OPTION, settings_in
from mms.errors import ServerError
from mms.interfaces.mlrun.errors import MLRunBaseError
from mms.interfaces.mlrun.spec.code_file import code_of
from mms.interfaces.mlrun.spec.serving_spec import (
    SPEC_FILE,
    SPEC_VARIABLE,
    check_has_graph,
    is_serving_document,
    process_document,
    read_spec,
    read_text,
    without_source_code,
)

_DEFAULT_NAME: Final = "function"


@click.command()
@click.argument(
    "spec", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=False
)
@click.option(
    "--source",
    type=click.Path(exists=True, path_type=Path),
    help="The function's code: a folder, a .py file or a notebook; default: the code in SPEC, else SPEC's folder.",
)
@click.option("--name", help="The function's name; default: the name in the document.")
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    help="Workers of each model; default: the document's replicas, else 1.",
)
@click.option(
    "--host", help="The address of both APIs; default: as config.properties says, else 127.0.0.1."
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    help="The port of the inference API; default: as config.properties says, else 8080.",
)
@click.option(
    "--management-port",
    type=click.IntRange(0, 65535),
    help="That of the management API; default: 8081, or a free one if 8081 is taken.",
)
@SET_OPTION
@click.option(
    "--pid-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where the process id is kept, for `multi-model-server --stop --pid-file FILE`; none by default.",
)
def serve(
    spec: Path | None,
    source: Path | None,
    name: str | None,
    workers: int | None,
    host: str | None,
    port: int | None,
    management_port: int | None,
    more_settings: tuple[str, ...],
    pid_file: Path | None,
) -> None:
    """Serve the function of SPEC: a serving spec in JSON, or a function as it is exported, in YAML or JSON.

    Without SPEC it is the mounted file or the variable that MLRun's own function would read. Each model has WORKERS.
    """
    flags = {
        "inference_address": {"--host": host, "--port": port},
        "management_address": {"--host": host, "--management-port": management_port},
    }
    settings = settings_in(more_settings, flags)
    document, folder = _document(spec, source)
    said = settings_of(None, settings)
    try:
        listeners = choose_listeners(
            said,
            host=host,
            port=port,
            management_host=host,
            management_port=management_port,
        )
        listening = listeners.get("inference_address", said.inference_address)
        if listening.port:
            check_port("--port", "the inference API", listening.port, listening.host)
    except PortUnusable as error:
        raise click.ClickException(f"{error}.") from None
    settings |= {key: str(address) for key, address in listeners.items()}
    component: dict[str, Any] = {
        "spec_file": str(_write(document)),
        "initial_workers": workers or read_spec(document).workers or 1,
        "model_name": name or _name_of(document, spec),
    }
    if folder is not None:
        component["folder"] = str(folder.absolute())
    from mms.cli.pid_file import PidFile, PidFileError, is_server
    from mms.cli.starting import become
    from mms.processes.launch_options import LaunchOptions

    kept = PidFile(pid_file.absolute()) if pid_file is not None else None
    options = LaunchOptions(
        settings=settings,
        component=json.dumps(component),
        pid_file=str(kept.path) if kept is not None else None,
    )
    try:
        if kept is not None and is_server(kept.read() or 0):
            raise click.ClickException(f"the server of {kept.path} is running already")
        become(options, kept)
    except PidFileError as error:
        raise click.ClickException(str(error)) from None


def _document(spec: Path | None, source: Path | None) -> tuple[dict[str, Any], Path | None]:
    """Return (the document with its code, the folder that has the code instead)."""
    try:
        if spec is None:
            document: Any = process_document(os.environ)
            if document is None:
                raise click.UsageError(
                    f"SPEC is needed, as there is neither {SPEC_FILE} nor the variable {SPEC_VARIABLE}"
                )
        else:
            document = read_text(spec.read_bytes(), str(spec))
        if not is_serving_document(document):
            check_has_graph(document, str(spec))
            raise click.ClickException(
                f"{spec} is not a serving spec and no exported function: it has no graph with routes or steps"
            )
        found = read_spec(document)
        if source is None:
            beside = spec.parent if spec is not None else None
            return document, beside if found.code is None else None
        return _with_source(document, source)
    except ServerError as error:
        raise click.ClickException(error.message or str(error)) from None
    except (MLRunBaseError, OSError) as error:
        raise click.ClickException(str(error)) from None


def _with_source(document: dict[str, Any], source: Path) -> tuple[dict[str, Any], Path | None]:
    # The code that is named now goes before the one that the document was written with.
    plain = {key: value for key, value in document.items() if key != "code"}
    if isinstance(plain.get("spec"), dict):
        plain["spec"] = without_source_code(plain["spec"])
    # An exported function has these in its own part.
    target = plain if "graph" in plain else plain["spec"]
    if source.is_dir():
        return plain, source
    target["filename"] = source.name
    if source.suffix == ".py":
        return plain, source.parent
    target["code"] = code_of(str(source))
    return plain, None


def _name_of(document: dict[str, Any], spec: Path | None) -> str:
    stem = spec.stem if spec is not None else _DEFAULT_NAME
    return read_spec(document).function_name or stem


def _write(document: dict[str, Any]) -> Path:
    """Return a file for the server, which removes it: a command line has no room for code."""
    descriptor, path = tempfile.mkstemp(prefix="mms-function-", suffix=".json")
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(document, file, default=str)
    return Path(path)
