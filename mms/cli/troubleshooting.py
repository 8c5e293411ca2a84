"""Which part of the page docs/troubleshooting.md an error of `mms` is about."""

from __future__ import annotations

from typing import Any, Final

import click

from mms.cli.printing import CommandGroup

_PAGE: Final = "https://github.com/marserve/marserve/blob/main/docs/troubleshooting.md"
#: What an error's text has in it -> the part of the page. The first one counts.
PARTS: Final[dict[str, str]] = {
    "No server answers at": "no-server-answers",
    "broke off": "no-server-answers",
    "is not trusted": "the-certificate-is-not-trusted",
    "chooses another": "a-port-is-taken",
    "Invalid configuration": "a-setting-is-wrong",
    "needs a key": "a-key-is-needed",
    "The key is not valid.": "a-key-is-needed",
    "does not have the role": "a-key-is-needed",
    "is nothing that can be served": "nothing-to-serve",
    "has no model": "nothing-to-serve",
    "has a handler": "nothing-to-serve",
    "has no function": "nothing-to-serve",
    "has several": "nothing-to-serve",
    "Failed to start workers": "a-model-does-not-load",
    "could not be loaded": "a-model-does-not-load",
    "worker ended while it loaded the model": "a-model-does-not-load",
    "Model not found in model store": "an-archive-is-not-found",
    "Model store has not been configured.": "an-archive-is-not-found",
    "Model not found:": "a-model-is-not-found",
    "does not exist for model": "a-model-is-not-found",
    "is already registered": "a-name-is-taken",
    "does not match any allowed URL": "a-url-is-not-allowed",
    "leads to an address that is not allowed": "a-url-is-not-allowed",
    "No worker is available to serve request for model": "no-worker-is-available",
    "number of batch response mismatched": "the-handler-returns-the-wrong-number-of-results",
    "Worker died": "a-worker-died",
    "deadline passed": "a-request-takes-too-long",
    "has not answered within": "a-request-takes-too-long",
    "no response within": "a-request-takes-too-long",
    "is larger than max_request_size": "a-body-or-an-answer-is-too-large",
    "is larger than max_response_size": "a-body-or-an-answer-is-too-large",
}


#: What click calls what it expected -> plain words.
_PLAIN: Final = {
    "a valid integer range": "a whole number",
    "a valid integer": "a whole number",
    "a valid float range": "a number",
    "a valid float": "a number",
}


def _in_plain_words(message: str) -> str:
    for theirs, plain in _PLAIN.items():
        message = message.replace(theirs, plain)
    return message


class Commands(CommandGroup):
    """A group of commands whose errors say where there is more about them."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            plain = _in_plain_words(error.message)
            if plain == error.message or type(error) is not click.BadParameter:
                raise
            raise click.BadParameter(
                plain, ctx=error.ctx, param=error.param, param_hint=error.param_hint
            ) from None
        except click.ClickException as error:
            link = see(error.message)
            if link is None:
                raise
            error.show()
            click.echo(f"see {link}", err=True)
            raise SystemExit(error.exit_code) from None


def see(message: str) -> str | None:
    """Return the address of what the page has about an error; None for nothing."""
    for words, part in PARTS.items():
        if words in message:
            return f"{_PAGE}#{part}"
    return None
