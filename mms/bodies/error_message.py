"""What an exception says, for clients and records."""

from __future__ import annotations

#: Longer texts lose their middle.
MAX_TEXT_CHARACTERS = 32_000


def error_message(error: BaseException) -> str:
    """Return the messages of an error and its causes; the form for developers where one is empty."""
    messages: list[str] = []
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        messages.append(str(cause) or repr(cause))
        cause = cause.__cause__
    text = ", caused by: ".join(messages)
    if len(text) <= MAX_TEXT_CHARACTERS:
        return text
    kept = MAX_TEXT_CHARACTERS // 2
    left_out = len(text) - 2 * kept
    return f"{text[:kept]} ... {left_out} characters left out ... {text[-kept:]}"
