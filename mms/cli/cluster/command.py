"""`mms cluster`: fronts on the nodes of a cluster of Ray, which serve the same models."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mms.cli.connecting import NotReachable, as_json, settings_of
from mms.cli.printing import CommandGroup, print_json
from mms.cli.set_option import SET_OPTION, settings_in

if TYPE_CHECKING:
    from mms.cluster.connection import ClusterConnection

_LOOK_S = 0.3
#: Settings that each front decides by itself, or that the cluster does for all.
_OF_CLUSTER = {
    "state_file": "--state-file says where the cluster keeps what is registered",
}

_of_cluster = (
    click.option("--name", default="default", show_default=True, help="The name of the cluster."),
    click.option(
        "--ray-address",
        default="auto",
        show_default=True,
        metavar="HOST:PORT",
        help="The head of Ray's cluster; auto: the one that this machine is a node of.",
    ),
)


def _cluster_options(command: Any) -> Any:
    for option in _of_cluster:
        command = option(command)
    return command


@click.group(cls=CommandGroup)
def cluster() -> None:
    """Serve by several fronts on a cluster of Ray.

    Each front is a whole server with addresses of its own; put a load balancer before them. What is registered, scaled
    or unregistered at one of them is so at all. `ray start` makes a machine a node.
    """


@cluster.command()
@click.option(
    "--fronts",
    type=click.IntRange(min=1),
    default=2,
    show_default=True,
    help="How many; each is on a node of its own unless all its ports are 0.",
)
@_cluster_options
@click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A properties file for all fronts. Files that it names are looked for on their nodes.",
)
@click.option("--model-store", metavar="DIR", help="The model store on each node.")
@click.option(
    "--models", multiple=True, metavar="NAME=URL", help="A model to start with; several times."
)
@click.option(
    "--state-file",
    metavar="PATH|URL",
    help="Where the cluster keeps what is registered: a file that all nodes reach, or a URL of fsspec such as "
    "s3://bucket/key. Without it the fronts themselves are all that remembers it.",
)
@SET_OPTION
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=300.0,
    show_default=True,
    help="Seconds until fronts that are not up yet are no longer waited for.",
)
@as_json
def up(
    fronts: int,
    name: str,
    ray_address: str,
    config: Path | None,
    model_store: str | None,
    models: tuple[str, ...],
    state_file: str | None,
    more_settings: tuple[str, ...],
    timeout: float,
    is_json: bool,
) -> None:
    """Start a cluster, or change a running one: how many fronts, and how they are started.

    Fronts whose settings have changed are started anew, one after the other. Their workers are Ray's to place, unless
    --set launcher=process has each front run its own.

    \b
    Examples:
      mms cluster up --fronts 3 --model-store /models --set inference_address=http://0.0.0.0:8080
      mms cluster up --fronts 2 --state-file s3://bucket/cluster.json
    """
    given = settings_in(more_settings, {"model_store": {"--model-store": model_store}})
    if model_store is not None:
        given["model_store"] = model_store
    said = settings_of(str(config) if config is not None else None, given)
    for setting, why in _OF_CLUSTER.items():
        if setting in said.sources:
            raise click.UsageError(f"{setting} cannot be set for a front: {why}.")
    for level, text in said.notices:
        if level >= logging.WARNING:
            click.echo(f"Warning: {text}", err=True)
    if said.model_store is None and any("://" not in model.rpartition("=")[2] for model in models):
        raise click.UsageError(
            "--models names archives of a model store: --model-store says where."
        )
    if "launcher" not in said.sources:
        given["launcher"] = "ray"
    any_port = {
        setting: f"{address.scheme}://{address.host}"
        for setting, address in said.addresses.items()
        if address.scheme != "unix" and not address.port
    }
    for setting in any_port:
        given.pop(setting, None)
    wanted = {
        "count": fronts,
        "models": list(models),
        "settings": given,
        "properties": config.read_text() if config is not None else "",
        "any_port": any_port,
        "drain_s": float(said.drain_timeout_s),
        "shares_nodes": len(any_port)
        == sum(address.scheme != "unix" for address in said.addresses.values()),
    }
    journal = _place_of(state_file)
    with _connected(ray_address, name) as connection:
        connection.begin(journal)
        status = connection.call("configure", wanted)
        until = time.monotonic() + timeout
        with _progress(is_json) as show:
            while not _is_up(status) and time.monotonic() < until:
                show(status)
                time.sleep(_LOOK_S)
                status = connection.call("status")
        if connection.node_count() > 1 and not is_json:
            _warn_of_loopback(said.addresses)
    _print(status, is_json)
    if not _is_up(status):
        raise SystemExit(1)


@cluster.command()
@_cluster_options
@as_json
def status(name: str, ray_address: str, is_json: bool) -> None:
    """Show the fronts of a cluster; exit code 0 only where all are up."""
    with _connected(ray_address, name) as connection:
        found = connection.call("status")
    _print(found, is_json)
    if not _is_up(found):
        raise SystemExit(1)


@cluster.command()
@_cluster_options
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=120.0,
    show_default=True,
    help="Seconds for fronts to answer what they have accepted.",
)
@as_json
def down(name: str, ray_address: str, timeout: float, is_json: bool) -> None:
    """End a cluster, after what it has accepted is answered. Its state file stays."""
    with _connected(ray_address, name) as connection:
        connection.call("end", timeout_s=timeout)
        connection.end()
    ended = f"The cluster {name} has ended."
    if is_json:
        print_json({"status": ended})
    else:
        click.echo(ended)


def _place_of(state_file: str | None) -> str | None:
    """Return a path as other nodes read it."""
    if state_file is None or "://" in state_file:
        return state_file
    return str(Path(state_file).absolute())


@contextlib.contextmanager
def _connected(ray_address: str, name: str) -> Iterator[ClusterConnection]:
    """Give a connection. What goes wrong with it ends the command, with exit code 3 where there is nothing."""
    from mms.cluster.connection import ClusterConnection, ClusterError, NoCluster

    try:
        with ClusterConnection(ray_address, name) as connection:
            yield connection
    except ClusterError as error:
        kind = NotReachable if isinstance(error, NoCluster) else click.ClickException
        raise kind(f"{error}.") from None


def _is_up(status: dict[str, Any]) -> bool:
    """Return whether there are as many fronts as are wanted, all serving what is registered."""
    fronts = status["fronts"]
    return len(fronts) == status["wantedFronts"] and all(
        front["state"] == "UP" and front.get("isHeard") for front in fronts
    )


@contextlib.contextmanager
def _progress(is_json: bool) -> Iterator[Any]:
    """Give what shows how far the fronts are, as far as that has changed."""
    shown: dict[str, str] = {}

    def show(status: dict[str, Any]) -> None:
        for front in status["fronts"]:
            text = front["state"].lower() + (f": {front['reason']}" if front.get("reason") else "")
            if shown.get(front["name"]) != text:
                shown[front["name"]] = text
                if not is_json:
                    click.echo(f"{front['name']} {text}", err=True)

    yield show


def _print(status: dict[str, Any], is_json: bool) -> None:
    from mms.cli.printing import print_table

    if is_json:
        print_json(status)
        return
    rows = []
    for front in status["fronts"]:
        addresses = front.get("addresses", {})
        failures = [f"{model}: {why}" for model, why in front.get("failures", {}).items()]
        rows.append(
            (
                front["name"],
                front["state"],
                addresses.get("inference_address"),
                addresses.get("management_address"),
                front["node"][:8] or None,
                "; ".join([*([front["reason"]] if front.get("reason") else []), *failures]) or None,
            )
        )
    print_table(("FRONT", "STATE", "INFERENCE", "MANAGEMENT", "NODE", "REASON"), rows)
    names = status["models"]
    kept = status["stateFile"] or "no file: with the last front it is forgotten"
    print(f"{len(names)} models at revision {status['revision']}, kept in {kept}")
    if problem := status.get("stateFileProblem"):
        print(f"Warning: {problem}", file=sys.stderr)


def _warn_of_loopback(addresses: dict[str, Any]) -> None:
    if addresses["inference_address"].host in ("127.0.0.1", "localhost", "::1"):
        click.echo(
            "Warning: inference_address is a loopback address, which only clients on the front's own node reach; "
            "--set inference_address=http://0.0.0.0:8080 opens it to others.",
            err=True,
        )
