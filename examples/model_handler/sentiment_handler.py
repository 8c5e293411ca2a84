"""The template filled in: says whether a text is friendly, by weights of words.

The entry point is `sentiment_handler:handle`, a function of the module. The server calls it once with
`data=None` while it loads the model, then with each batch.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from model_handler import BadInput, ModelHandler

WORD = re.compile(r"[a-z']+")


class SentimentHandler(ModelHandler):
    def load(self, model_dir: Path, gpu_id: int | None) -> None:
        self._weights = json.loads((model_dir / "weights.json").read_text(encoding="utf-8"))

    def preprocess(self, item: dict[str, Any]) -> list[str]:
        text = item.get("body")
        if isinstance(text, (bytes, bytearray)):
            try:
                text = text.decode("utf-8")
            except UnicodeDecodeError as error:
                raise BadInput(f"the body is no UTF-8 text: {error}") from None
        if not isinstance(text, str):
            raise BadInput("the body has to be a text, sent with Content-Type: text/plain")
        return WORD.findall(text.lower())

    def inference(self, inputs: list[list[str]]) -> list[float]:
        return [sum(self._weights.get(word, 0.0) for word in words) for words in inputs]

    def postprocess(self, output: float) -> dict[str, Any]:
        if output == 0:
            return {"sentiment": "neutral", "score": 0.0}
        return {"sentiment": "positive" if output > 0 else "negative", "score": round(output, 3)}


_service = SentimentHandler()


def handle(data: list[dict[str, Any]] | None, context: Any) -> list[Any] | None:
    if not _service.initialized:
        _service.initialize(context)
    if data is None:
        return None
    return _service.handle(data, context)
