"""A small language model that writes on from prompts, a character of each text in each step of one running batch."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np

from mms.service import PredictionException

#: Characters that the next one follows from.
CONTEXT = 12
#: Unless the client says how many characters it wants.
_CHARACTERS = 200
_MOST_CHARACTERS = 5000


class Network:
    """A network with one hidden layer: from the last characters to a score for each that may come next."""

    def __init__(self, alphabet: str, weights: list[np.ndarray]) -> None:
        self.alphabet = alphabet
        self.weights = weights

    def layers(self, before: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return inputs, hidden layer and scores, a row for each row of `before`."""
        vectors, into_hidden, of_hidden, into_scores, of_scores = self.weights
        inputs = vectors[before].reshape(len(before), -1)
        hidden = np.tanh(inputs @ into_hidden + of_hidden)
        return inputs, hidden, hidden @ into_scores + of_scores

    def save(self, path: Path) -> None:
        np.savez(path, *self.weights, alphabet=np.array(self.alphabet))

    @classmethod
    def load(cls, path: Path) -> Network:
        with np.load(path) as file:
            return cls(str(file["alphabet"]), [file[f"arr_{number}"] for number in range(5)])


class _Text:
    """What is kept of one request between steps."""

    def __init__(self, before: list[int], count: int, seed: int) -> None:
        self.before = before
        self.left = count
        self.dice = np.random.default_rng(seed)


class Writer:
    """Serves it: the server calls `admit` for each request, `step` for all that run, and `end` lets one leave."""

    def initialize(self, context: Any) -> None:
        folder = Path(context.system_properties["model_dir"])
        self.network = Network.load(folder / "network.npz")
        self.numbers = {character: n for n, character in enumerate(self.network.alphabet)}

    def admit(self, request: dict[str, Any], context: Any) -> _Text:
        prompt, count = _order_of(request.get("body"))
        context.set_response_content_type(0, "text/plain; charset=utf-8")
        blank = self.numbers[" "]
        known = [self.numbers.get(character, blank) for character in prompt[-CONTEXT:]]
        before = [blank] * (CONTEXT - len(known)) + known
        return _Text(before, count, zlib.crc32(prompt.encode("utf-8", "replace")))

    def step(self, active: list[Any]) -> list[str]:
        texts = [sequence.state for sequence in active]
        _, _, scores = self.network.layers(np.array([text.before for text in texts]))
        parts = []
        for sequence, text, row in zip(active, texts, scores, strict=True):
            # Chosen by chance, the likelier the higher its score is (Gumbel's trick).
            number = int(np.argmax(row / 0.5 + text.dice.gumbel(size=len(row))))
            text.before = [*text.before[1:], number]
            text.left -= 1
            if not text.left:
                sequence.end()
            parts.append(self.network.alphabet[number])
        return parts


def _order_of(body: Any) -> tuple[str, int]:
    """Return prompt and number of characters of a text, an object, or a request of OpenAI's API."""
    prompt, count = body, _CHARACTERS
    if isinstance(body, dict):
        match body.get("messages"):
            case [*_, {"content": said}]:
                prompt = said
            case _:
                prompt = body.get("prompt")
        count = body.get("characters", body.get("max_tokens") or _CHARACTERS)
    if isinstance(prompt, bytes | bytearray):
        prompt = bytes(prompt).decode("utf-8", "replace")
    if not (isinstance(prompt, str) and isinstance(count, int) and 0 < count <= _MOST_CHARACTERS):
        wanted = f'{{"prompt": text, "characters": 1 to {_MOST_CHARACTERS}}}'
        raise PredictionException(f"Send a text, or {wanted}.", 400)
    return prompt, count
