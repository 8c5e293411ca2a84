"""The steps of a flow: clean a text, have a model score it, and put its score into words."""

from typing import Any

from mlrun.serving import V2ModelServer

_GOOD = ("good", "great", "nice")
_BAD = ("bad", "awful", "poor")


def clean(body: dict[str, Any]) -> dict[str, Any]:
    return {"inputs": [text.lower().strip() for text in body["inputs"]]}


class Mood(V2ModelServer):
    def load(self) -> None:
        """There is nothing to load."""

    def predict(self, request: dict[str, Any]) -> list[int]:
        return [
            sum(word in text for word in _GOOD) - sum(word in text for word in _BAD)
            for text in request["inputs"]
        ]


class InWords:
    def __init__(self, happy: str = "happy", sad: str = "sad") -> None:
        self.happy = happy
        self.sad = sad

    def do(self, body: dict[str, Any]) -> dict[str, Any]:
        return {"moods": [self.happy if score > 0 else self.sad for score in body["outputs"]]}
