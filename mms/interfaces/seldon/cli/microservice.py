"""`mms microservice`: serves a bare class from its folder, in place of Seldon's own command.

It takes that command's arguments and variables, so that a Dockerfile changes one word of its CMD.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click

from archiver.component import SERVICE_TYPES
from mms.cli.connecting import settings_of
from mms.cli.serve.ports import PortUnusable, check_port, choose_listeners
from mms.cli.set_option import SET_OPTION, settings_in
from mms.interfaces.seldon.cli.environment import (
    Given,
    Plan,
    WrongEnvironment,
    component_text,
    plan,
)
from mms.processes.own_folder import log_variables, own_folder

_F = TypeVar("_F", bound=Callable[..., Any])

_LOG_CONFIG_NAME = "log4j.properties"


def _optional(flag: str, value: str, **more: Any) -> Callable[[_F], _F]:
    """Return an option that may stand without its value."""
    return click.option(flag, is_flag=False, flag_value=value, **more)


@click.command()
@click.argument("interface_name", metavar="MODEL_NAME")
@click.argument(
    "api_type", type=click.Choice(["REST", "GRPC"], case_sensitive=False), required=False
)
@click.option(
    "--service-type", type=click.Choice(SERVICE_TYPES), default="MODEL", show_default=True
)
@_optional("--persistence", "1", type=int, default=0, help="Keep the component over restarts.")
@click.option(
    "--parameters",
    metavar="JSON",
    help='Arguments of its constructor: [{"name", "value", "type"}].',
)
@click.option(
    "--model-path",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=".",
    help="The folder with the class; default: the current folder.",
)
@click.option("--workers", type=int, help="Processes that run the class; default: 1.")
@click.option("--http-port", type=int, help="The port for REST; default: 9000.")
@click.option("--grpc-port", type=int, help="The port for gRPC; default: 5000.")
@click.option("--metrics-port", type=int, help="The port for metrics; default: 6000.")
@click.option(
    "--management-port",
    type=int,
    help="The port of the management API on 127.0.0.1; default: 8081, or a free one if 8081 is taken.",
)
@click.option(
    "--grpc-workers", type=int, help="0 turns gRPC off; any other number has the same effect."
)
@_optional("--access-log", "1", help="Write a log line for each response.")
@click.option("--log-level", help="DEBUG, INFO, WARNING or ERROR.")
@click.option("--keepalive", type=float, help="Seconds that an idle connection is kept open.")
@click.option("--pidfile", type=click.Path(dir_okay=False), help="A file for the process id.")
@click.option(
    "--state-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default="state",
    show_default=True,
    help="The folder where --persistence keeps the component.",
)
@SET_OPTION
@click.option("--threads", type=int, hidden=True)
@click.option("--max-requests", type=int, hidden=True)
@click.option("--max-requests-jitter", type=int, hidden=True)
@click.option("--grpc-threads", type=int, hidden=True)
@click.option("--single-threaded", type=int, hidden=True)
@_optional("--debug", "1", hidden=True)
@_optional("--tracing", "1", hidden=True)
def microservice(
    interface_name: str,
    api_type: str | None,
    pidfile: str | None,
    access_log: str | None,
    management_port: int | None,
    more_settings: tuple[str, ...],
    **values: Any,
) -> None:
    """Serve the class MODEL_NAME as a Seldon component.

    MODEL_NAME is a class in a module of the same name, or module.Class. REST is on port 9000, gRPC on 5000, metrics on
    6000. The options and variables are those of seldon-core-microservice.
    """
    without_effect = {
        name: values.pop(name)
        for name in (
            *("threads", "max_requests", "max_requests_jitter", "grpc_threads"),
            *("single_threaded", "debug", "tracing"),
        )
    }
    flags = {
        "inference_address": {"--http-port": values["http_port"]},
        "grpc_address": {"--grpc-port": values["grpc_port"]},
        "seldon_metrics_address": {"--metrics-port": values["metrics_port"]},
        "management_address": {"--management-port": management_port},
        "access_log": {"--access-log": access_log},
        "keep_alive_timeout_s": {"--keepalive": values["keepalive"]},
    }
    more = settings_in(more_settings, flags)
    given = Given(
        interface_name,
        api_type=api_type.upper() if api_type else None,
        access_log=access_log is not None,
        without_effect=without_effect,
        **values,
    )
    try:
        planned = plan(given, os.environ, is_grpc_installed=_is_grpc_installed())
        planned.settings |= more
        for setting, (option, what, port) in planned.ports.items():
            if setting not in more:
                check_port(option, what, port)
        said = settings_of(None, planned.settings)
        listeners = choose_listeners(said, management_port=management_port)
    except (PortUnusable, WrongEnvironment) as error:
        raise click.ClickException(str(error)) from None
    planned.settings |= {key: str(address) for key, address in listeners.items()}
    _serve(planned, pidfile, said.inference_address.port)


def _is_grpc_installed() -> bool:
    # The parent first: asking for a module below one that is absent raises.
    return all(importlib.util.find_spec(name) for name in ("hpack", "google", "google.protobuf"))


def _serve(planned: Plan, pidfile: str | None, port: int) -> NoReturn:
    from mms.cli.pid_file import PidFile, PidFileError, is_server
    from mms.cli.starting import become
    from mms.processes.launch_options import LaunchOptions

    pid_file = PidFile(Path(pidfile).absolute()) if pidfile else None
    folder = own_folder("mms-microservice", port)
    variables = log_variables(folder)
    log_config = None
    if planned.log_level != "INFO":
        log_config = folder / _LOG_CONFIG_NAME
        log_config.write_text(f"log4j.rootLogger={planned.log_level}\n")
    for line in planned.notices:
        click.echo(line, err=True)
    if planned.ignored:
        click.echo(f"These have no effect here: {', '.join(planned.ignored)}", err=True)
    options = LaunchOptions(
        log_config=str(log_config) if log_config is not None else None,
        settings=planned.settings,
        component=component_text(planned.component),
        pid_file=str(pid_file.path) if pid_file is not None else None,
    )
    try:
        if pid_file is not None and is_server(pid_file.read() or 0):
            raise click.ClickException(f"the server of {pid_file.path} is running already")
        become(options, pid_file, variables)
    except PidFileError as error:
        raise click.ClickException(str(error)) from None
