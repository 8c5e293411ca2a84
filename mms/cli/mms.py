"""`mms`: the tool by which people serve a model by hand, and use a running server.

Exit codes: 0 done; 1 the server said no, or is not healthy; 2 a misuse of the command; 3 no server answers.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mms.cli.bench.command import bench
from mms.cli.bench.tune import tune
from mms.cli.cluster.command import cluster
from mms.cli.completion import completion
from mms.cli.connecting import as_json, on_inference, on_management, settings_of
from mms.cli.drift import drift_command
from mms.cli.keys import keys
from mms.cli.models import models
from mms.cli.new.command import new
from mms.cli.predict import predict
from mms.cli.serve.command import serve
from mms.cli.troubleshooting import Commands
from mms.cli.watch.logs import logs
from mms.cli.watch.profile import profile
from mms.cli.watch.sample import sample
from mms.cli.watch.top import top
from mms.interfaces import INTERFACES, Command, part
from mms.text.brief import brief
from mms.version import __version__, form

if TYPE_CHECKING:
    from mms.client import Client

_SECRETS = ("keystore_pass",)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(
    f"{__version__} ({form()})",
    message="%(version)s",
    help="Print the version, and whether it is compiled.",
)
def main() -> None:
    """Write and serve a model, and use a running server.

    To begin: `mms new NAME` writes a model, `mms serve NAME` serves it, `mms predict NAME -d DATA` asks it.

    multi-model-server starts and stops a server for others, model-archiver makes what it serves. Where a server demands
    keys, the variable MMS_API_KEY holds the one that is sent.
    """


@main.command()
@as_json
@on_inference
def ping(client: Client, is_json: bool) -> None:
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
@as_json
@on_management
def metrics(client: Client, part: str, is_json: bool) -> None:
    """Print the metrics whose name has PART in it, or all.

    Without --json and away from a terminal it is the server's text for Prometheus.

    \b
    Examples:
      mms metrics queue
      mms metrics --json requests_total
    """
    from mms.cli.printing import print_json, print_table

    text = client.metrics()
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
        raise click.ClickException(f"No metric has {brief(part)} in its name.")
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
    help="A properties file, or sagemaker; default: config.properties in the current folder.",
)
@click.option("--changed", is_flag=True, help="Leave out settings with their default values.")
@as_json
def settings(config: str | None, changed: bool, is_json: bool) -> None:
    """Show the settings of a server started here, and their sources."""
    import logging

    from mms.cli.printing import print_json, print_table
    from mms.settings import all_options

    if config not in (None, "sagemaker") and not Path(str(config)).is_file():
        raise click.BadParameter(f"{config} is not a file", param_hint="--config")
    loaded = settings_of(config)
    rows = [
        {
            "name": name,
            "value": "(hidden)" if name in _SECRETS else _plain(loaded.get(name)),
            "unit": option.unit,
            "source": loaded.sources.get(name, "default"),
        }
        for name, option in all_options().items()
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


def _command_of(declared: Command) -> click.Command:
    """Return a command that an interface brings along; its module is imported when it is called."""

    @click.command(
        declared.name,
        context_settings={"ignore_unknown_options": True, "help_option_names": []},
        short_help=declared.help,
    )
    @click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
    def run(arguments: tuple[str, ...]) -> None:
        part(declared.command).main(list(arguments), prog_name=f"mms {declared.name}")

    return run


for _interface in INTERFACES:
    for _declared in _interface.commands:
        main.add_command(_command_of(_declared))
main.add_command(bench)
main.add_command(cluster)
main.add_command(drift_command)
main.add_command(keys)
main.add_command(completion)
main.add_command(logs)
main.add_command(models)
main.add_command(new)
main.add_command(predict)
main.add_command(profile)
main.add_command(sample)
main.add_command(serve)
main.add_command(top)
main.add_command(tune)


def _plain(value: Any) -> Any:
    """Return a setting's value as JSON has it."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return list(value) if isinstance(value, tuple) else str(value)


if __name__ == "__main__":
    main()
