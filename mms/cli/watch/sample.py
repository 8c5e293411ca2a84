"""`mms sample`: live requests to a model and their answers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from mms.cli.connecting import json_option, model_name, on_management

if TYPE_CHECKING:
    from mms.client import Client


@click.command()
@model_name
@click.option(
    "-n",
    "--count",
    type=click.IntRange(1, 100),
    default=10,
    show_default=True,
    help="How many requests.",
)
@click.option(
    "--seconds",
    type=click.IntRange(1, 600),
    default=60,
    show_default=True,
    help="How long to wait for them.",
)
@json_option("Print each sample as JSON.")
@on_management
def sample(client: Client, name: str, count: int, seconds: int, is_json: bool) -> None:
    """Show the next requests to MODEL, and their answers.

    Credentials are hidden, and so is what the server's setting sample_redact names.

    \b
    Examples:
      mms sample hello
      mms sample hello -n 3 --json | jq .request.body
    """
    show = _show_json if is_json else _show
    shown = 0
    try:
        for found in client.models.samples(name, count=count, seconds=seconds):
            show(found)
            shown += 1
    except KeyboardInterrupt:
        return
    except BrokenPipeError:
        # Whoever read our output has gone, and Python's own flush at the end may not complain.
        import os

        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return
    if shown < count:
        click.echo(f"{shown} of {count} requests came in time.", err=True)


def _show_json(found: dict[str, Any]) -> None:
    print(json.dumps(found), flush=True)


def _show(found: dict[str, Any]) -> None:
    from mms.cli.printing import printable

    request, answer = found["request"], found["answer"]
    version = f" version {found['modelVersion']}" if found.get("modelVersion") else ""
    lines = [
        f"{found['time']}  {found['requestId']}{version}  {answer['status']}  {answer['elapsedMs']:g} ms"
    ]
    if request["query"]:
        lines.append(f"  ?{request['query']}")
    lines += [f"  > {name}: {value}" for name, value in request["headers"].items()]
    lines.append(f"  > {_body(request['body'])}")
    lines += [f"  < {name}: {value}" for name, value in answer.get("headers", {}).items()]
    lines.append(f"  < {_body(answer['body'])}" if "body" in answer else f"  < {answer['error']}")
    print("\n".join(printable(line) for line in lines), flush=True)


def _body(body: dict[str, Any]) -> str:
    if "json" in body:
        return json.dumps(body["json"], ensure_ascii=False)
    if "text" in body:
        return str(body["text"]) + (" ..." if body.get("isCut") else "")
    size = f"({body['bytes']} bytes)" if "bytes" in body else ""
    return f"{size} {body.get('omitted', '')}".strip()
