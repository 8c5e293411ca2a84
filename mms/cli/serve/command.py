"""`mms serve PATH`: serves a model while it is written, without an archive of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from mms.cli.connecting import json_option
from mms.cli.set_option import SET_OPTION, settings_in

_COMMAND = "mms-serve"
#: What serving by hand sets where neither the user nor config.properties does.
_DEFAULTS = {"debug_errors": "true", "metrics": "false", "drain_timeout_s": "3"}


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
@click.option(
    "--host", help="The address to listen on; default: as config.properties says, else 127.0.0.1."
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    help="The port, 0 for any free one; default: as config.properties says, else 8080.",
)
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
@json_option(
    "Print each line as JSON (the setting log_layout=json), the addresses in the one of the start."
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
    is_json: bool,
    more_settings: tuple[str, ...],
) -> None:
    """Serve the model at PATH at once, until Ctrl-C.

    PATH is a folder with a handler (the current one by default), a .py file, an archive (.mar), or a saved model: .pkl,
    .joblib, .skops, .onnx, .pt, .bst, .keras, and the folders that MLflow and TensorFlow save.

    Each request has a line on the screen. Errors of the model have their traceback there, and in the answer what was
    raised. With --reload a change that cannot be loaded leaves the former model serving.

    \b
    Examples:
      mms serve hello --reload
      mms serve model.pkl --port 9000
      mms serve service.py --handler handle --set request_timeout_s=5
      mms serve hello --json | jq .message
    """
    from mms.cli.connecting import settings_of
    from mms.cli.serve.ports import PortUnusable, check_port, choose_listeners
    from mms.cli.serve.target import NoModel, find_target
    from mms.cli.starting import become
    from mms.processes.launch_options import LaunchOptions
    from mms.processes.own_folder import log_variables, own_folder

    flags: dict[str, dict[str, object]] = {
        "log_layout": {"--json": "json" if is_json else None},
        "inference_address": {"--host": host, "--port": port},
        "management_address": {"--management-port": management_port},
    }
    given = settings_in(more_settings, flags)
    said = settings_of(None, given)
    settings = {key: value for key, value in _DEFAULTS.items() if key not in said.sources} | given
    try:
        target = find_target(path, handler)
        listeners = choose_listeners(said, host=host, port=port, management_port=management_port)
        listening = listeners.get("inference_address", said.inference_address)
        if listening.port:
            check_port("--port", "the inference API", listening.port, listening.host)
    except (NoModel, PortUnusable) as error:
        raise click.ClickException(f"{error}.") from None
    if is_json:
        settings["log_layout"] = "json"
    settings |= {key: str(address) for key, address in listeners.items()}
    registration: dict[str, Any] = {**target.registration, "initial_workers": workers}
    if name is not None:
        registration["model_name"] = name
    if batch_size is not None:
        registration["batch_size"] = batch_size
    click.echo(f"Loading {target.what} ...", err=is_json)
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
