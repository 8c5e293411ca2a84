"""`mms models`: the models of a running server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from mms.cli.connecting import as_json, model_name, of_version, on_management
from mms.cli.printing import CommandGroup
from mms.cli.registration_flags import RegistrationCommand

if TYPE_CHECKING:
    from mms.client import Client


@click.group(cls=CommandGroup)
def models() -> None:
    """List, register, scale, watch and unregister models.

    \b
    Examples:
      mms models list
      mms models register greeting.mar --workers 2
      mms models scale greeting 4
      mms models wait greeting
    """


@models.command("list")
@as_json
@on_management
def list_models(client: Client, is_json: bool) -> None:
    """List all models and their versions."""
    from mms.cli.printing import print_json

    described = client.models.list()
    if is_json:
        print_json(described)
    elif described:
        _print_models(described)
    else:
        print("No models. `mms models register ARCHIVE` adds one.")


@models.command()
@model_name
@as_json
@on_management
def versions(client: Client, name: str, is_json: bool) -> None:
    """List the versions of a model."""
    from mms.cli.printing import print_json

    described = client.models.versions(name)
    if is_json:
        print_json(described)
    else:
        _print_models(described)


def _print_models(described: Sequence[dict[str, Any]]) -> None:
    from mms.cli.printing import print_table
    from mms.client.models import ready_workers

    print_table(
        ("MODEL", "VERSION", "DEFAULT", "READY", "WORKERS", "BATCH", "URL"),
        [
            (
                model["modelName"],
                model.get("modelVersion"),
                model.get("defaultVersion", True),
                ready_workers(model),
                f"{model['minWorkers']}-{model['maxWorkers']}",
                model["batchSize"],
                model.get("modelUrl"),
            )
            for model in described
        ],
    )


@models.command()
@model_name
@of_version
@as_json
@on_management
def describe(client: Client, name: str, version: str | None, is_json: bool) -> None:
    """Show a model and its workers."""
    from mms.cli.printing import harmless, print_json, print_table

    model = client.models.describe(name, version)
    if is_json:
        print_json(model)
        return
    workers = model.pop("workers")
    trace = model.pop("loadTraceback", None)
    queue = model.pop("jobQueueStatus", None)
    if isinstance(queue, dict):
        model["waitingRequests"] = queue.get("pendingRequests")
        model["freeInQueue"] = queue.get("remainingCapacity")
    print_table(("PROPERTY", "VALUE"), list(model.items()))
    if workers:
        columns = list(dict.fromkeys(key for worker in workers for key in worker))
        print()
        print_table(
            [column.upper() for column in columns],
            [[worker.get(column) for column in columns] for worker in workers],
        )
    if trace:
        print(f"\n{harmless(str(trace))}")


@models.command(
    cls=RegistrationCommand,
    route="register",
    defaults={"initial_workers": 1, "synchronous": True},
)
@click.argument("archive", required=False)
@as_json
@on_management
def register(client: Client, archive: str | None, is_json: bool, **values: Any) -> None:
    """Register ARCHIVE, one of the model store or a url.

    The url is of http, https, s3 or gs. Without ARCHIVE, --prepackaged and --model-uri say which files a server loads,
    or --serving-spec names a function.

    \b
    Examples:
      mms models register greeting.mar --workers 2 --batch-size 8
      mms models register --name iris --prepackaged sklearn --model-uri file:///srv/iris
    """
    from mms.cli.progress import showing_load

    has_files = values["prepackaged"] and values["model_uri"]
    others = (values["serving_spec"], values["copy_of"])
    if archive is None and not has_files and others == (None, None):
        raise click.UsageError(
            "Give ARCHIVE, or --prepackaged with --model-uri, or --serving-spec, or --copy-of."
        )
    values["parameters"] = _parameters(values["parameters"], values["interface"])
    name = values["model_name"] or _stem(archive or "")
    with showing_load(client, f"Registering {name or 'the model'}", name):
        told = client.models.register(archive, **values)
    _tell(told, is_json)


def _stem(archive: str) -> str:
    """Return the name that a model has by default, from its archive's."""
    from pathlib import PurePosixPath

    return PurePosixPath(archive.partition("?")[0].rstrip("/")).stem


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
@model_name
@click.argument("workers", type=click.IntRange(min=0), required=False)
@as_json
@on_management
def scale(client: Client, name: str, workers: int | None, is_json: bool, **values: Any) -> None:
    """Set how many workers a model has, and other numbers of it.

    It has WORKERS, or WORKERS to --max of them. Other options change what the model was registered with.

    \b
    Examples:
      mms models scale greeting 4
      mms models scale greeting 1 --max 8
      mms models scale greeting --batch-size 16
    """
    from mms.cli.progress import showing_load

    version, most = values.pop("model_version"), values.pop("max_worker")
    is_synchronous = values.pop("synchronous")
    changes = {key: value for key, value in values.items() if value is not None}
    if workers is None and (most is not None or not changes):
        raise click.UsageError("Give WORKERS, or what is to change, such as --batch-size.")
    with showing_load(client, f"Scaling {name}", name):
        told = client.models.scale(
            name,
            workers,
            max_workers=most,
            version=version,
            synchronous=is_synchronous,
            **changes,
        )
    _tell(told, is_json)


@models.command()
@model_name
@of_version
@as_json
@on_management
def scaling(client: Client, name: str, version: str | None, is_json: bool) -> None:
    """Show how many workers a model needs, and what was decided."""
    from mms.cli.printing import print_json, print_table

    found = client.models.scaling(name, version)
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
@model_name
@of_version
@as_json
@on_management
def unregister(client: Client, name: str, version: str | None, is_json: bool) -> None:
    """Unregister a model; what it has accepted is answered first."""
    _tell(client.models.unregister(name, version), is_json)


@models.command("set-default")
@model_name
@click.argument("version")
@as_json
@on_management
def set_default(client: Client, name: str, version: str, is_json: bool) -> None:
    """Make a version the one that serves requests which name none."""
    _tell(client.models.set_default(name, version), is_json)


@models.command()
@model_name
@of_version
@as_json
@on_management
def wait(client: Client, name: str, version: str | None, is_json: bool) -> None:
    """Wait until a model is registered and its workers have loaded it.

    --timeout says for how long.     The exit code is 1 where it cannot load, 3 where it was not ready in time.
    """
    from mms.cli.printing import print_json
    from mms.cli.progress import showing_load

    with showing_load(client, f"Waiting for {name}", name):
        found = client.models.wait(name, version)
    if is_json:
        print_json(found)
    else:
        print(f"Model {name} is ready.")


def _tell(status: str, is_json: bool) -> None:
    from mms.cli.printing import harmless, print_json

    if is_json:
        print_json({"status": status})
    else:
        print(harmless(status))
