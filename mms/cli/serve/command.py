"""`mms serve PATH`: serves a model while it is written, without an archive of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from mms.cli.set_option import SET_OPTION, settings_in

_COMMAND = "mms-serve"
#: What serving by hand sets where neither the user nor config.properties does.
_DEFAULTS = {"debug_errors": "true", "metrics": "false", "drain_timeout_s": "3"}
_PORT = 8080


@click.command()
@click.argument("path", type=click.Path(exists=True, path_type=Path), default=".")
@click.option(
    "--handler",
    metavar="MODULE:NAME",
    help="The function or class that answers requests; default: found in the code.",
)
@click.option(
    "--name",
    help="The name of the model; default: that of the folder or file, or of its manifest.",
)
@click.option("--reload", is_flag=True, help="Load the model anew when one of its files changes.")
@click.option("--host", help="The address to listen on; default: 127.0.0.1.")
@click.option("--port", type=click.IntRange(0, 65535), help=f"The port; default: {_PORT}.")
@click.option(
    "--management-port",
    type=click.IntRange(0, 65535),
    help="The port of the management API on 127.0.0.1; default: 8081, or a free one if 8081 is taken.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Processes that run the model.",
)
@click.option("--batch-size", type=click.IntRange(min=1), help="Requests in one call at most.")
@click.option(
    "--open", "is_opened", is_flag=True, help="Open what the server says of the model in a browser."
)
@SET_OPTION
def serve(
    path: Path,
    handler: str | None,
    name: str | None,
    reload: bool,
    host: str | None,
    port: int | None,
    management_port: int | None,
    workers: int,
    batch_size: int | None,
    is_opened: bool,
    more_settings: tuple[str, ...],
) -> None:
    """Serve the model at PATH at once, until Ctrl-C; the current folder without PATH.

    PATH is a folder with a handler, a .py file, an archive (.mar), or a saved model: .pkl, .joblib, .skops, .onnx, .pt,
    .bst, .keras, and the folders that MLflow and TensorFlow save.

    Each request has a line on the screen. Errors of the model have their traceback there, and in the answer what was
    raised. With --reload a change that cannot be loaded leaves the former model serving.
    """
    from mms.cli.connecting import settings_of
    from mms.cli.serve.own_folder import log_variables, own_folder
    from mms.cli.serve.ports import PortUnusable, check_port
    from mms.cli.serve.ports import management_port as usual_management_port
    from mms.cli.serve.target import NoModel, find_target
    from mms.cli.starting import become
    from mms.processes.launch_options import LaunchOptions

    given = settings_in(more_settings)
    said = settings_of(None)
    settings = {key: value for key, value in _DEFAULTS.items() if key not in said.sources}
    if host is not None or port is not None or "inference_address" not in said.sources:
        number = _PORT if port is None else port
        settings["inference_address"] = _url(host or "127.0.0.1", number)
    if management_port is not None or "management_address" not in said.sources:
        number = usual_management_port() if management_port is None else management_port
        settings["management_address"] = _url("127.0.0.1", number)
    settings |= given
    listening = said.inference_address
    try:
        target = find_target(path, handler)
        if "inference_address" in settings:
            listening = _address(settings["inference_address"])
        if listening.scheme != "unix" and listening.port:
            check_port("--port", "the inference API", listening.port, listening.host)
        if management_port:
            check_port("--management-port", "the management API", management_port, "127.0.0.1")
    except (NoModel, PortUnusable) as error:
        raise click.ClickException(f"{error}.") from None
    registration: dict[str, Any] = {**target.registration, "initial_workers": workers}
    if name is not None:
        registration["model_name"] = name
    if batch_size is not None:
        registration["batch_size"] = batch_size
    click.echo(f"Loading {target.what} ...")
    if is_opened:
        _open_when_up(listening, registration.get("model_name"))
    become(
        LaunchOptions(
            settings=settings,
            component=json.dumps(registration),
            followed=str(target.followed) if reload else None,
            is_by_hand=True,
        ),
        variables=log_variables(own_folder(_COMMAND, listening.port)),
    )


def _url(host: str, port: int) -> str:
    bare = host.strip("[]")
    return f"http://[{bare}]:{port}" if ":" in bare else f"http://{bare}:{port}"


def _address(text: str) -> Any:
    from mms.settings import Address

    try:
        return Address.parse(text, is_management=False)
    except ValueError as error:
        raise click.ClickException(str(error)) from None


def _open_when_up(address: Any, name: str | None) -> None:
    """Have a process of its own wait for the server, which takes the place of this one, and open a browser."""
    import os

    if address.scheme == "unix" or not address.port:
        raise click.ClickException("--open needs a port, which a browser can reach.")
    server_pid = os.getpid()
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    # A child of the server would be its to collect.
    if os.fork():
        os._exit(0)
    try:
        from mms.cli.serve.browser import open_when_up

        open_when_up(address, name, server_pid)
    finally:
        os._exit(0)
