"""`mms predict`: sends a request to a model, and shows what it answers."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from mms.cli.connecting import json_option, model_name, of_version, on_inference

if TYPE_CHECKING:
    from mms.client import Answer, Client


@click.command()
@model_name
@click.argument("file", type=click.File("rb"), required=False)
@click.option("-f", "--file", "named_file", type=click.File("rb"), help="The same as FILE.")
@click.option(
    "-d", "--data", help="The body itself, or @ and the name of a file; @- is standard input."
)
@of_version
@click.option(
    "--content-type",
    metavar="TYPE",
    help="Default: what the file's name says, else what the body looks like: JSON, text or bytes.",
)
@json_option("Print status, content type and body as JSON.")
@click.option(
    "--stream", "is_streamed", is_flag=True, help="Print what the model answers as it comes."
)
@click.option(
    "--retries",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="How often to send again what the server is too busy for.",
)
@on_inference
def predict(
    client: Client,
    name: str,
    file: Any,
    named_file: Any,
    data: str | None,
    version: str | None,
    content_type: str | None,
    is_json: bool,
    is_streamed: bool,
    retries: int,
) -> None:
    """Send FILE, or the body of -d, to MODEL, and print its answer.

    Without either standard input is sent, unless it is a terminal; - stands for it, too. On a terminal JSON is
    indented; elsewhere the answer is printed byte for byte. The exit code is 1 for an answer that is an error.

    \b
    Examples:
      mms predict hello -d '{"name": "Ada"}'
      mms predict animals kitten.jpg --json
      mms predict writer -d 'Once upon' --stream
    """
    from mms.client import ServerRefused
    from mms.text.media_type import media_type_of_body

    if sum(given is not None for given in (file, named_file, data)) > 1:
        raise click.UsageError("FILE, -f and -d say the same: give one of them.")
    body, file_name = _body(file or named_file, data)
    kind = content_type or media_type_of_body(body, file_name)
    client.retries = retries
    if is_streamed and is_json:
        raise click.UsageError(
            "--stream prints what comes, --json the whole answer: give one of them."
        )
    if is_streamed:
        _print_stream(client.stream(name, body, version=version, content_type=kind))
        return
    try:
        answer = client.predict(name, body, version=version, content_type=kind)
    except ServerRefused as error:
        if not is_json or error.answer is None:
            raise
        answer = error.answer
    if is_json:
        _print_whole(answer)
        return
    shown = _for_terminal(answer) if sys.stdout.isatty() else answer.body
    sys.stdout.buffer.write(shown)
    sys.stdout.buffer.flush()


def _body(file: Any, data: str | None) -> tuple[bytes, str]:
    """Return the body, and the name of the file that it is from."""
    if data is not None and not data.startswith("@"):
        return data.encode("utf-8", "surrogateescape"), ""
    if data == "@-":
        return sys.stdin.buffer.read(), ""
    if data is not None:
        try:
            with open(data[1:], "rb") as opened:
                return opened.read(), data[1:]
        except OSError as error:
            raise click.BadParameter(
                f"{data[1:]} cannot be read: {error.strerror}", param_hint="-d"
            ) from None
    if file is None:
        return b"" if sys.stdin.isatty() else sys.stdin.buffer.read(), ""
    return file.read(), getattr(file, "name", None) or ""


def _print_stream(pieces: Iterable[bytes]) -> None:
    import codecs

    # A character may be in two pieces.
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    for piece in pieces:
        shown = _harmless(decoder.decode(piece)) if sys.stdout.isatty() else piece
        sys.stdout.buffer.write(shown)
        sys.stdout.buffer.flush()


def _print_whole(answer: Answer) -> None:
    from mms.cli.printing import print_json
    from mms.text.media_type import json_in

    document: Any = _text(answer.body)
    if document is None:
        import base64

        document = {"base64": base64.b64encode(answer.body).decode()}
    elif (parsed := json_in(document.strip())) is not None:
        document = parsed
    print_json(
        {
            "status": answer.status,
            "contentType": answer.headers.get("content-type"),
            "body": document,
        }
    )
    if answer.status >= 400:
        raise SystemExit(1)


def _for_terminal(answer: Answer) -> bytes:
    """Return an answer as a person reads it."""
    from mms.text.media_type import json_in

    text = _text(answer.body)
    if text is None:
        what = answer.headers.get("content-type", "no content type")
        return f"{len(answer.body)} bytes ({what}); send them to a file: mms predict ... > FILE\n".encode()
    parsed = json_in(text.strip())
    if parsed is not None and not isinstance(parsed, str):
        import json

        text = json.dumps(parsed, indent=2, ensure_ascii=False)
    return _harmless(f"{text.rstrip(chr(10))}\n")


def _harmless(text: str) -> bytes:
    """Return a text without what may drive a terminal."""
    from mms.cli.printing import harmless

    return harmless(text).encode("utf-8", "replace")


def _text(body: bytes) -> str | None:
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text
