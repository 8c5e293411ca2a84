"""`mms`: the tool by which people use a running server.

Exit codes: 0 done; 1 the server said no, or is not healthy; 2 a misuse of the command; 3 no server answers.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlencode

import click

from mms.cli.drift import drift_command
from mms.cli.keys import keys

if TYPE_CHECKING:
    from mms.cli.server_client import ServerClient
    from mms.settings import Address, Settings

_SECRETS = ("keystore_pass",)
F = TypeVar("F", bound=Callable[..., Any])


class _NotReachable(click.ClickException):
    exit_code = 3


def _on_inference(command: F) -> F:
    return _against("inference", command)


def _on_management(command: F) -> F:
    return _against("management", command)


def _against(api: str, command: F) -> F:
    """Give a command the options of a connection, and a client of that API as its first argument."""

    @functools.wraps(command)
    def run(
        url: str | None,
        insecure: bool,
        client_certificate: str | None,
        timeout: float,
        **values: Any,
    ) -> None:
        from mms.cli.server_client import ServerClient, ServerRefused, ServerUnreachable

        client = ServerClient(
            _address(api, url),
            f"--{api}",
            is_insecure=insecure,
            client_certificate=client_certificate,
            timeout_s=timeout,
        )
        try:
            command(client, **values)
        except ServerUnreachable as error:
            raise _NotReachable(str(error)) from None
        except ServerRefused as error:
            raise click.ClickException(f"{client.address}: {error}") from None

    for option in (
        click.option(
            "--timeout",
            type=click.FloatRange(min=0, min_open=True),
            default=300,
            show_default=True,
            help="Seconds to wait for an answer.",
        ),
        click.option("--insecure", is_flag=True, help="Accept any certificate."),
        click.option(
            "--client-certificate",
            type=click.Path(exists=True, dir_okay=False),
            metavar="FILE",
            help="Certificate and key that the server demands, PEM.",
        ),
        click.option(
            f"--{api}",
            "url",
            metavar="URL",
            help=f"Where the {api} API is: http://host:port, https://host:port or unix:/path. Without it "
            "as config.properties of the current folder says, else where a server listens by default.",
        ),
    ):
        run = option(run)
    return run  # type: ignore[return-value]  # click reads the options off the function


def _address(api: str, url: str | None) -> Address:
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
        settings = _settings(None)
        address = settings.management_address if api == "management" else settings.inference_address
    if address.scheme != "unix" and not address.port:
        raise click.UsageError(f"{address} names no port; name one with --{api}.")
    return address


def _settings(config: str | None) -> Settings:
    import os

    from mms.errors import ConfigurationError
    from mms.launch_options import LaunchOptions
    from mms.settings import load_settings

    environ = dict(os.environ)
    if config is not None:
        environ.pop("MMS_CONFIG_FILE", None)
    try:
        return load_settings(LaunchOptions(mms_config=config), environ=environ)
    except ConfigurationError as error:
        raise click.ClickException(str(error)) from None


def _model_path(name: str, *rest: str | None) -> str:
    return "/".join(["/models", *(quote(part, safe="") for part in (name, *rest) if part)])


_as_json = click.option("--json", "is_json", is_flag=True, help="Print JSON.")
_version = click.option("--version", help="A version of the model, in place of its default one.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Use and look after a running Multi Model Server.

    Where a server demands keys, the variable MMS_API_KEY holds the one that is sent.

    multi-model-server starts and stops one, model-archiver makes what it serves.
    """


@main.group()
def models() -> None:
    """List, register, scale and unregister models."""


@models.command("list")
@_as_json
@_on_management
def list_models(client: ServerClient, is_json: bool) -> None:
    """List all models and their versions."""
    from mms.cli.printing import print_json, print_table

    described = []
    for name in _names(client):
        described += _describe(client, name)
    if is_json:
        print_json(described)
        return
    if not described:
        print("No models. `mms models register ARCHIVE` adds one.")
        return
    print_table(
        ("MODEL", "VERSION", "DEFAULT", "READY", "WORKERS", "BATCH", "URL"),
        [
            (
                model["modelName"],
                model.get("modelVersion"),
                model.get("defaultVersion", True),
                _ready(model),
                f"{model['minWorkers']}-{model['maxWorkers']}",
                model["batchSize"],
                model["modelUrl"],
            )
            for model in described
        ],
    )


def _names(client: ServerClient) -> list[str]:
    names: list[str] = []
    token: str | None = "0"
    while token is not None:
        page = client.ask("GET", f"/models?{urlencode({'next_page_token': token})}").json()
        names += [model["modelName"] for model in page["models"]]
        # AWS's server gives a token on a full last page, too: an empty page ends the list, whatever it says.
        token = page.get("nextPageToken") if page["models"] else None
    return names


def _describe(client: ServerClient, name: str) -> list[dict[str, Any]]:
    """Every version; none for a model that has gone meanwhile."""
    for path in (_model_path(name, "all"), _model_path(name)):
        # The second one is for AWS's server, which knows no versions.
        answer = client.call("GET", path)
        if answer.status == 200:
            document = answer.json()
            return document if isinstance(document, list) else [document]
    return []


def _ready(model: dict[str, Any]) -> int:
    return sum(worker["status"] == "READY" for worker in model["workers"])


@models.command()
@click.argument("name")
@_version
@_as_json
@_on_management
def describe(client: ServerClient, name: str, version: str | None, is_json: bool) -> None:
    """Show a model and its workers."""
    from mms.cli.printing import print_json, print_table

    model = client.ask("GET", _model_path(name, version)).json()
    if is_json:
        print_json(model)
        return
    workers = model.pop("workers")
    trace = model.pop("loadTraceback", None)
    queue = model.pop("jobQueueStatus", None)
    if queue is not None:
        model["waitingRequests"] = queue["pendingRequests"]
        model["freeInQueue"] = queue["remainingCapacity"]
    print_table(("PROPERTY", "VALUE"), list(model.items()))
    if workers:
        columns = list(dict.fromkeys(key for worker in workers for key in worker))
        print()
        print_table(
            [column.upper() for column in columns],
            [[worker.get(column) for column in columns] for worker in workers],
        )
    if trace:
        print(f"\n{trace}")


@models.command()
@click.argument("archive", required=False)
@click.option("--name", help="Instead of the name in the archive.")
@click.option("--handler", help="Instead of the handler in the archive.")
@click.option("--runtime", help="Instead of the runtime in the archive.")
@click.option("--workers", type=click.IntRange(min=0), default=1, show_default=True)
@click.option("--batch-size", type=click.IntRange(min=1))
@click.option("--max-batch-delay", type=click.IntRange(min=0), help="Milliseconds.")
@click.option("--batch-policy", type=click.Choice(["adaptive", "fixed"]))
@click.option("--response-timeout", type=click.IntRange(min=1), help="Seconds.")
@click.option("--preload/--no-preload", default=None, help="Load once, then fork the workers.")
@click.option("--initialize-errors", type=click.Choice(["fail", "ignore"]))
@click.option("--interface", type=click.Choice(["auto", "seldon", "mms", "mlrun"]))
@click.option("--service-type", help="What a Seldon component does in a graph.")
@click.option(
    "--param",
    "parameters",
    metavar="NAME=VALUE:TYPE",
    multiple=True,
    help="Of the constructor of a Seldon component, or of a model server of MLRun (NAME=VALUE with --interface mlrun); "
    "may be given several times.",
)
@click.option("--model-uri", help="Where the model's files are fetched from.")
@click.option("--prepackaged", help="The server for these files, such as sklearn.")
@click.option("--predictor", help="Which predictor of a graph's document is served.")
@click.option("--row-batching/--no-row-batching", default=None, help="Join rows of requests.")
@click.option("--load-mode", type=click.Choice(["sync", "async"]), help="Of an MLRun model server.")
@click.option("--no-wait", is_flag=True, help="Do not wait for the workers to load.")
@_as_json
@_on_management
def register(
    client: ServerClient,
    archive: str | None,
    name: str | None,
    no_wait: bool,
    is_json: bool,
    **values: Any,
) -> None:
    """Register ARCHIVE: one of the model store, or an http(s) url.

    Without ARCHIVE, --prepackaged and --model-uri say which files a server loads.
    """
    import json

    if archive is None and not (values["prepackaged"] and values["model_uri"]):
        raise click.UsageError("ARCHIVE is missing, or --prepackaged with --model-uri.")
    values["parameters"] = _parameters(values["parameters"], values["interface"])
    parameters = {
        "url": archive,
        "model_name": name,
        "initial_workers": values.pop("workers"),
        "preload_model": values.pop("preload"),
        "synchronous": not no_wait,
        **values,
    }
    body = json.dumps({key: value for key, value in parameters.items() if value is not None})
    headers = {"Content-Type": "application/json"}
    _tell(client.ask("POST", "/models", body.encode(), headers).json(), is_json)


def _parameters(texts: tuple[str, ...], interface: str | None) -> list[dict[str, Any]] | None:
    from archiver.component import InvalidComponent, argument_of_text, parameter_of_text

    read = argument_of_text if interface == "mlrun" else parameter_of_text
    try:
        return [read(text) for text in texts] or None
    except InvalidComponent as error:
        raise click.BadParameter(str(error), param_hint="--param") from None


@models.command()
@click.argument("name")
@click.argument("workers", type=click.IntRange(min=0))
@click.option("--max", "maximum", type=click.IntRange(min=0), help="Without it WORKERS.")
@_version
@click.option("--no-wait", is_flag=True, help="Do not wait for the workers to load.")
@_as_json
@_on_management
def scale(
    client: ServerClient,
    name: str,
    workers: int,
    maximum: int | None,
    version: str | None,
    no_wait: bool,
    is_json: bool,
) -> None:
    """Set how many workers a model has."""
    query = {
        "min_worker": workers,
        "max_worker": workers if maximum is None else maximum,
        "synchronous": str(not no_wait).lower(),
    }
    answer = client.ask("PUT", f"{_model_path(name, version)}?{urlencode(query)}")
    _tell(answer.json(), is_json)


@models.command()
@click.argument("name")
@_version
@_as_json
@_on_management
def unregister(client: ServerClient, name: str, version: str | None, is_json: bool) -> None:
    """Unregister a model; what it has accepted is answered first."""
    _tell(client.ask("DELETE", _model_path(name, version)).json(), is_json)


@models.command("set-default")
@click.argument("name")
@click.argument("version")
@_as_json
@_on_management
def set_default(client: ServerClient, name: str, version: str, is_json: bool) -> None:
    """Make a version the one that serves requests which name none."""
    _tell(client.ask("PUT", _model_path(name, version, "set-default")).json(), is_json)


def _tell(document: Any, is_json: bool) -> None:
    from mms.cli.printing import print_json

    if is_json:
        print_json(document)
    else:
        print(document.get("status", document))


@main.command()
@click.argument("name")
@click.argument("file", type=click.File("rb"), required=False)
@_version
@click.option(
    "--content-type",
    metavar="TYPE",
    help="Without it by the file's name, else application/octet-stream.",
)
@_on_inference
def predict(
    client: ServerClient, name: str, file: Any, version: str | None, content_type: str | None
) -> None:
    """Send FILE to a model and print what it answers, byte for byte.

    Without FILE standard input is sent, unless it is a terminal; - stands for it, too.
    """
    import mimetypes

    if file is None:
        body = b"" if sys.stdin.isatty() else sys.stdin.buffer.read()
    else:
        body = file.read()
    guessed, _ = mimetypes.guess_type(getattr(file, "name", None) or "-")
    headers = {"Content-Type": content_type or guessed or "application/octet-stream"}
    path = "/".join(quote(part, safe="") for part in (name, version) if part)
    answer = client.ask("POST", f"/predictions/{path}", body, headers)
    sys.stdout.buffer.write(answer.body)
    if sys.stdout.isatty() and not answer.body.endswith(b"\n"):
        sys.stdout.buffer.write(b"\n")
    sys.stdout.buffer.flush()


@main.command()
@_as_json
@_on_inference
def ping(client: ServerClient, is_json: bool) -> None:
    """Ask whether all workers are up; exit code 0 only if so."""
    from mms.cli.printing import print_json

    answer = client.call("GET", "/ping")
    document = answer.json()
    status = document.get("status") or document.get("Status") or document.get("message")
    if is_json:
        print_json(document)
    else:
        print(status)
    if answer.status != 200 or status != "Healthy":
        raise SystemExit(1)


@main.command()
@click.argument("part", default="")
@_as_json
@_on_management
def metrics(client: ServerClient, part: str, is_json: bool) -> None:
    """Print the metrics whose name has PART in it, or all.

    Without --json and away from a terminal it is the server's text for Prometheus.
    """
    from mms.cli.printing import print_json, print_table

    text = client.ask("GET", "/metrics").text
    if not is_json and not part and not sys.stdout.isatty():
        sys.stdout.write(text)
        return
    from prometheus_client.parser import text_string_to_metric_families

    samples = [
        sample
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if part in sample.name
    ]
    if not samples:
        raise click.ClickException(f"No metric has {part!r} in its name.")
    if is_json:
        print_json([{"name": s.name, "labels": dict(s.labels), "value": s.value} for s in samples])
        return
    print_table(
        ("METRIC", "LABELS", "VALUE"),
        [
            (s.name, ", ".join(f"{k}={v}" for k, v in s.labels.items()), f"{s.value:.12g}")
            for s in samples
            if not s.name.endswith("_bucket")
        ],
    )


@main.command()
@click.option(
    "--config",
    metavar="FILE",
    help="A properties file, or sagemaker; without it config.properties of the current folder.",
)
@click.option("--changed", is_flag=True, help="Leave out what has its default.")
@_as_json
def settings(config: str | None, changed: bool, is_json: bool) -> None:
    """Show the settings that a server started here would have, and where each comes from."""
    import logging

    from mms.cli.printing import print_json, print_table
    from mms.settings import OPTIONS

    if config not in (None, "sagemaker") and not Path(str(config)).is_file():
        raise click.BadParameter(f"{config} is no file", param_hint="--config")
    loaded = _settings(config)
    rows = [
        {
            "name": name,
            "value": "(hidden)" if name in _SECRETS else _plain(getattr(loaded, name)),
            "unit": option.unit,
            "source": loaded.sources.get(name, "default"),
        }
        for name, option in OPTIONS.items()
        if name in loaded.sources or not changed
    ]
    for level, text in loaded.notices:
        click.echo(f"{logging.getLevelName(level).lower()}: {text}", err=True)
    if is_json:
        print_json(rows)
    elif rows:
        print_table(("SETTING", "VALUE", "UNIT", "FROM"), [list(row.values()) for row in rows])
    else:
        print("All settings have their defaults.")


@main.command(
    "microservice",
    context_settings={"ignore_unknown_options": True, "help_option_names": []},
    short_help="Serve a Seldon component's class from its folder.",
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def microservice_command(arguments: tuple[str, ...]) -> None:
    """Serve a class from its folder, as seldon-core-microservice does."""
    # Most calls of this tool need none of it.
    from mms.cli.microservice import microservice

    microservice.main(list(arguments), prog_name="mms microservice")


@main.command(
    "mlrun",
    context_settings={"ignore_unknown_options": True, "help_option_names": []},
    short_help="Serve functions made for MLRun, and run scripts that test them.",
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def mlrun_command(arguments: tuple[str, ...]) -> None:
    """Serve a serving spec of MLRun's, or run a script."""
    from mms.cli.mlrun import mlrun

    mlrun.main(list(arguments), prog_name="mms mlrun")


main.add_command(drift_command)
main.add_command(keys)


def _plain(value: Any) -> Any:
    """As a JSON value."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return list(value) if isinstance(value, tuple) else str(value)


if __name__ == "__main__":
    main()
