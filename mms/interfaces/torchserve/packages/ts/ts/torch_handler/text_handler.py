"""The base of handlers of texts."""

from __future__ import annotations

import os
import re
import string
import unicodedata
from typing import Any

import torch

from ..handler_utils.text_utils import get_tokenizer
from ..utils.util import CLEANUP_REGEX
from .base_handler import BaseHandler
from .contractions import CONTRACTION_MAP

CONTRACTIONS_PATTERN = re.compile(
    "|".join(map(re.escape, CONTRACTION_MAP)), flags=re.IGNORECASE | re.DOTALL
)


class TextHandler(BaseHandler):
    """Has the archive's vocabulary, and cleans texts."""

    def __init__(self) -> None:
        super().__init__()
        self.source_vocab: Any = None
        self.tokenizer = get_tokenizer("basic_english")
        self.input_text: Any = None

    def initialize(self, context: Any) -> None:
        """Load the model and its vocabulary: `source_vocab.pt`, or what the manifest names as `sourceVocab`."""
        super().initialize(context)
        named = self.manifest["model"].get("sourceVocab")
        # An object of any class, which its archive's own code knows.
        self.source_vocab = torch.load(
            named or self.get_source_vocab_path(context), weights_only=False
        )
        self.initialized = True

    def get_source_vocab_path(self, ctx: Any) -> str:
        """Raises Exception, by that very class, where the archive has no vocabulary."""
        path = os.path.join(ctx.system_properties.get("model_dir"), "source_vocab.pt")
        if not os.path.isfile(path):
            raise Exception("Missing the source_vocab file: a text handler needs source_vocab.pt.")
        return path

    def _expand_contractions(self, text: str) -> str:
        def expand(found: re.Match[str]) -> str:
            short = found.group(0)
            full = CONTRACTION_MAP.get(short) or CONTRACTION_MAP[short.lower()]
            return short[0] + full[1:]

        return CONTRACTIONS_PATTERN.sub(expand, text).replace("'", "")

    def _remove_accented_characters(self, text: str) -> str:
        return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode("ascii")

    def _remove_html_tags(self, text: str) -> str:
        return CLEANUP_REGEX.sub("", text)

    def _remove_punctuation(self, text: str) -> str:
        return text.translate(str.maketrans("", "", string.punctuation))

    #: As TorchServe wrote it at first.
    _remove_puncutation = _remove_punctuation

    def _tokenize(self, text: str) -> list[str]:
        return self.tokenizer(text)

    def get_word_token(self, input_tokens: list[str]) -> list[str]:
        """Return the tokens without the mark that stands for a blank in front of them."""
        return [token.replace("\u0120", "") for token in input_tokens]

    def summarize_attributions(self, attributions: Any) -> Any:
        attributions = torch.nn.functional.softmax(attributions, dim=-1)
        return attributions / torch.norm(attributions.sum(dim=-1))
