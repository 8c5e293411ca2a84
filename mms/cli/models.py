"""`mms models`: the models of a running server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import click

from mms.cli.connecting import as_json, of_version, on_management
from mms.cli.registration_flags import RegistrationCommand

if TYPE_CHECKING:
    from mms.cli.server_client import ServerClient


@click.group()
def models() -> None:
    """List, register, scale and unregister models."""


@models.command("list")
@as_json
@on_management
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
    """Return the descriptions of all versions; none for a model that has gone meanwhile."""
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
@of_version
@as_json
@on_management
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


@models.command(
    cls=RegistrationCommand,
    route="register",
    defaults={"initial_workers": 1, "synchronous": True},
)
@click.argument("archive", required=False)
@as_json
@on_management
def register(client: ServerClient, archive: str | None, is_json: bool, **values: Any) -> None:
    """Register ARCHIVE: one of the model store, or a url (http, https, s3, gs).

    Without ARCHIVE, --prepackaged and --model-uri say which files a server loads, or --serving-spec names a function.
    """
    import json

    has_files = values["prepackaged"] and values["model_uri"]
    if archive is None and not has_files and values["serving_spec"] is None:
        raise click.UsageError(
            "Give ARCHIVE, or --prepackaged with --model-uri, or --serving-spec."
        )
    values["parameters"] = _parameters(values["parameters"], values["interface"])
    parameters = {"url": archive, **values}
    body = json.dumps({key: value for key, value in parameters.items() if value is not None})
    headers = {"Content-Type": "application/json"}
    _tell(client.ask("POST", "/models", body.encode(), headers).json(), is_json)


def _parameters(texts: tuple[str, ...], interface: str | None) -> list[dict[str, Any]] | None:
    from archiver.component import (
        InvalidComponent,
        argument_of_text,
        has_json_arguments,
        parameter_of_text,
    )

    read = argument_of_text if has_json_arguments(interface) else parameter_of_text
    try:
        return [read(text) for text in texts] or None
    except InvalidComponent as error:
        raise click.BadParameter(str(error), param_hint="--param") from None


@models.command(cls=RegistrationCommand, route="scale", defaults={"synchronous": True})
@click.argument("name")
@click.argument("workers", type=click.IntRange(min=0), required=False)
@as_json
@on_management
def scale(
    client: ServerClient, name: str, workers: int | None, is_json: bool, **values: Any
) -> None:
    """Set how many workers a model has, WORKERS to --max, and change what it was registered with."""
    version, most = values.pop("model_version"), values.pop("max_worker")
    is_synchronous = values.pop("synchronous")
    changes = {key: value for key, value in values.items() if value is not None}
    if workers is None and (most is not None or not changes):
        raise click.UsageError("Give WORKERS, or what is to change, such as --batch-size.")
    query = {"synchronous": is_synchronous, **changes}
    if workers is not None:
        query = {
            "min_worker": workers,
            "max_worker": workers if most is None else most,
            **query,
        }
    texts = {
        key: str(value).lower() if isinstance(value, bool) else value
        for key, value in query.items()
    }
    answer = client.ask("PUT", f"{_model_path(name, version)}?{urlencode(texts)}")
    _tell(answer.json(), is_json)


@models.command()
@click.argument("name")
@of_version
@as_json
@on_management
def scaling(client: ServerClient, name: str, version: str | None, is_json: bool) -> None:
    """Show how many workers a model needs by its load, and what was decided of late."""
    from mms.cli.printing import print_json, print_table

    found = client.ask("GET", _model_path(name, version, "scaling")).json()
    if is_json:
        print_json(found)
        return
    decisions = found.pop("decisions")
    print_table(("PROPERTY", "VALUE"), list(found.items()))
    if decisions:
        print()
        print_table(
            ("TIME", "WORKERS", "WANTED", "WHY"),
            [
                (
                    decision["time"],
                    f"{decision['before']} -> {decision['after']}",
                    decision["wanted"],
                    decision["reason"],
                )
                for decision in decisions
            ],
        )


@models.command()
@click.argument("name")
@of_version
@as_json
@on_management
def unregister(client: ServerClient, name: str, version: str | None, is_json: bool) -> None:
    """Unregister a model; what it has accepted is answered first."""
    _tell(client.ask("DELETE", _model_path(name, version)).json(), is_json)


@models.command("set-default")
@click.argument("name")
@click.argument("version")
@as_json
@on_management
def set_default(client: ServerClient, name: str, version: str, is_json: bool) -> None:
    """Make a version the one that serves requests which name none."""
    _tell(client.ask("PUT", _model_path(name, version, "set-default")).json(), is_json)


def _tell(document: Any, is_json: bool) -> None:
    from mms.cli.printing import print_json

    if is_json:
        print_json(document)
    else:
        print(document.get("status", document))


def _model_path(name: str, *rest: str | None) -> str:
    return "/".join(["/models", *(quote(part, safe="") for part in (name, *rest) if part)])
