"""A small language model that writes on from a prompt, word by word: each client gets its words as they are chosen."""

from __future__ import annotations

import random
import re
import zlib
from collections.abc import Iterator
from pathlib import Path

_WORD = re.compile(r"[A-Za-z']+|[.,]")
#: Unless the client says how many words it wants.
_WORDS = 40
_MOST_WORDS = 2000


class StoryWriter:
    """Learns which word follows which two from `tale.txt`, as it is loaded."""

    def initialize(self, context) -> None:
        self.context = context
        tale = Path(context.system_properties["model_dir"], "tale.txt").read_text(encoding="utf-8")
        words = _WORD.findall(tale)
        self.followers: dict[tuple[str, str], list[str]] = {}
        for first, second, third in zip(words, words[1:], words[2:], strict=False):
            self.followers.setdefault((first, second), []).append(third)

    def handle(self, data, context) -> list[Iterator[str] | str]:
        return [self.story(index, item) for index, item in enumerate(data)]

    def story(self, index: int, item: dict[str, object]) -> Iterator[str] | str:
        """Return a stream of words, or what is wrong with the request."""
        order = item.get("body")
        prompt, count = order, _WORDS
        if isinstance(order, dict):
            # As its own clients and those of OpenAI's API say it.
            prompt = order.get("prompt", last_message(order))
            count = order.get("words", order.get("max_tokens") or _WORDS)
        if isinstance(prompt, (bytes, bytearray)):
            prompt = bytes(prompt).decode("utf-8", "replace")
        if (
            not isinstance(prompt, str)
            or not isinstance(count, int)
            or not 0 < count <= _MOST_WORDS
        ):
            self.context.set_response_status(400, "Bad Request", index)
            return f'Send a text, or {{"prompt": text, "words": 1 to {_MOST_WORDS}}}.'
        self.context.set_response_content_type(index, "text/plain; charset=utf-8")
        return self.words(prompt, count)

    def words(self, prompt: str, count: int) -> Iterator[str]:
        """Yield words as they are chosen; the same ones for the same prompt."""
        dice = random.Random(zlib.crc32(prompt.encode()))
        begins = sorted(self.followers)
        asked = tuple(_WORD.findall(prompt)[-2:])
        pair = asked if asked in self.followers else dice.choice(begins)
        for _ in range(count):
            followers = self.followers.get(pair)
            if followers is None:
                pair = dice.choice(begins)
                continue
            word = dice.choice(followers)
            pair = (pair[1], word)
            yield word if word in ".," else f" {word}"


def last_message(order: dict[str, object]) -> object:
    """Return what was said last in a chat; nothing where the request is none."""
    match order.get("messages"):
        case [*_, {"content": said}]:
            return said
    return ""
