"""What the commands of `mms` share: the options of a connection, and the server behind it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from mms.client import Client, ClientError
    from mms.settings import Address, Settings

F = TypeVar("F", bound=Callable[..., Any])

#: For a server to say which models it has while somebody waits at a prompt.
_COMPLETION_S = 1.0
#: Of what a server says of an error, in characters.
_MOST_SAID = 10_000


def json_option(printed: str) -> Callable[[F], F]:
    """Give a command `is_json`, by the option that all commands have for it. `printed`: what it says of itself."""
    return click.option("--json", "is_json", is_flag=True, help=printed)


as_json = json_option("Print JSON.")
of_version = click.option(
    "--version", help="The version of the model; default: its default version."
)


def complete_name(context: click.Context, param: click.Parameter, begun: str) -> list[str]:
    """Return the models of the server that a command is for, where one answers at once."""
    from mms.client import Client, ClientError

    is_management = any("--management" in parameter.opts for parameter in context.command.params)
    try:
        address = address_of(
            "management", context.params.get("management_url") if is_management else None
        )
        with Client(management=address, timeout_s=_COMPLETION_S, retries=0) as client:
            names = client.models.names()
    except (ClientError, click.ClickException, ValueError):
        return []
    # A shell reads them line by line.
    return [name for name in names if name.startswith(begun) and name.isprintable()]


#: The name of a model, which a shell completes.
model_name = click.argument("name", metavar="MODEL", shell_complete=complete_name)


class NotReachable(click.ClickException):
    exit_code = 3


def on_inference(command: F) -> F:
    """Give a command a client of the inference API as its first argument, and the options of its connection."""
    return _against(("inference",), command)


def on_management(command: F) -> F:
    """Give a command a client of the management API, as `on_inference` does of the inference API."""
    return _against(("management",), command)


def on_both(command: F) -> F:
    """Give a command a client of both APIs, as `on_inference` does of one."""
    return _against(("management", "inference"), command)


def _against(apis: Sequence[str], command: F) -> F:
    """Give a command the options of a connection, and a client of these APIs as its first argument."""

    @functools.wraps(command)
    def run(insecure: bool, client_certificate: str | None, timeout: float, **values: Any) -> None:
        from mms.client import ClientError

        addresses = {api: address_of(api, values.pop(f"{api}_url")) for api in apis}
        first = addresses[apis[0]]
        client = make_client(
            addresses.get("inference", first),
            addresses.get("management", first),
            insecure=insecure,
            client_certificate=client_certificate,
            timeout_s=timeout,
        )
        with client:
            try:
                command(client, **values)
            except ClientError as error:
                raise failure(error, first, apis[0]) from None

    return connection_options(apis, timeout_s=300)(run)  # type: ignore[return-value]  # click reads the options off it


def make_client(
    inference: Address,
    management: Address,
    *,
    insecure: bool,
    client_certificate: str | None,
    timeout_s: float,
) -> Client:
    """Return a client for what the options of a connection say. Raises ClickException."""
    import mms.client

    try:
        return mms.client.Client(
            inference,
            management=management,
            verify=not insecure,
            client_certificate=client_certificate,
            timeout_s=timeout_s,
            retries=0,
        )
    except ValueError as error:
        raise click.ClickException(str(error)) from None


def connection_options(apis: Sequence[str], *, timeout_s: float) -> Callable[[F], F]:
    """Give a command `insecure`, `client_certificate`, `timeout`, and the url of each API such as `inference_url`."""

    def add(command: F) -> F:
        for option in (
            click.option(
                "--timeout",
                type=click.FloatRange(min=0, min_open=True),
                default=timeout_s,
                show_default=True,
                help="Seconds to wait for an answer.",
            ),
            click.option("--insecure", is_flag=True, help="Accept any certificate."),
            click.option(
                "--client-certificate",
                type=click.Path(exists=True, dir_okay=False),
                metavar="FILE",
                help="PEM file with the client certificate and key to send.",
            ),
            *(
                click.option(
                    f"--{api}",
                    f"{api}_url",
                    metavar="URL",
                    help=f"Where the {api} API is: http://host:port, https://host:port or unix:/path. Without it "
                    "as config.properties of the current folder says, else where a server listens by default.",
                )
                for api in apis
            ),
        ):
            command = option(command)
        return command

    return add


def failure(error: ClientError, address: Address, api: str) -> click.ClickException:
    """Return an error with what to do about it."""
    from mms.client import (
        CertificateNotTrusted,
        DeadlineExceeded,
        ServerUnreachable,
    )

    if isinstance(error, CertificateNotTrusted):
        return NotReachable(
            f"{error} --insecure accepts it; the variable SSL_CERT_FILE names a file of certificates to trust."
        )
    if isinstance(error, ServerUnreachable):
        if not error.is_unsent:
            return NotReachable(str(error))
        return NotReachable(
            f"{error} Start one with `mms serve PATH` or `multi-model-server --start`, or name its address with "
            f"--{api}."
        )
    if isinstance(error, DeadlineExceeded):
        return NotReachable(f"{str(error).removesuffix('.')} (--timeout).")
    from mms.cli.printing import harmless

    # Its words are the server's, whoever that is.
    said = harmless(str(error))
    if len(said) > _MOST_SAID:
        said = f"{said[:_MOST_SAID]}..."
    return click.ClickException(f"{address}: {said}")


def address_of(api: str, url: str | None) -> Address:
    from mms.settings import Address

    if url is not None:
        try:
            address = Address.parse(url, is_management=api == "management")
        except ValueError as error:
            raise click.BadParameter(
                f"{error}; http://host:port, https://host:port or unix:/path is right",
                param_hint=f"--{api}",
            ) from None
    else:
        settings = settings_of(None)
        address = settings.management_address if api == "management" else settings.inference_address
    if address.scheme != "unix" and not address.port:
        raise click.UsageError(f"{address} has no port; give one with --{api}.")
    return address


def settings_of(config: str | None, given: Mapping[str, str] | None = None) -> Settings:
    """Return the settings that a server started here would have. `given`: those of `--set`. Raises ClickException."""
    import os

    from mms.errors import ConfigurationError
    from mms.processes.launch_options import LaunchOptions
    from mms.settings import load_settings

    environ = dict(os.environ)
    if config is not None:
        environ.pop("MMS_CONFIG_FILE", None)
    try:
        return load_settings(
            LaunchOptions(mms_config=config, settings=dict(given or {})), environ=environ
        )
    except ConfigurationError as error:
        raise click.ClickException(str(error)) from None
