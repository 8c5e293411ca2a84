"""A handler that classifies texts, one at a time."""

from __future__ import annotations

import importlib
from typing import Any

import torch

from ..handler_utils.text_utils import ngrams_iterator
from ..utils.util import map_class_to_label
from .text_handler import TextHandler


class TextClassifier(TextHandler):
    """Answers with the probabilities of all classes for the text of the first request."""

    ngrams = 2

    def preprocess(self, data: Any) -> Any:
        """Return the tensor of a text, and its tokens."""
        text = data[0].get("data") or data[0].get("body")
        if isinstance(text, bytes | bytearray):
            text = text.decode("utf-8")
        text = self._remove_html_tags(text).lower()
        text = self._remove_accented_characters(self._expand_contractions(text))
        tokens = self._tokenize(self._remove_punctuation(text))
        numbers = [self.source_vocab[token] for token in ngrams_iterator(tokens, self.ngrams)]
        return torch.as_tensor(numbers, device=self.device), tokens

    def inference(self, data: Any, *args: Any, **kwargs: Any) -> Any:
        tensor, _ = data
        return super().inference(tensor, torch.as_tensor([0], device=self.device))

    def postprocess(self, data: Any) -> Any:
        probabilities = torch.nn.functional.softmax(data, dim=-1)
        return map_class_to_label(probabilities.tolist(), self.mapping)

    def get_insights(self, text_preprocess: Any, _: Any, target: Any = 0) -> Any:
        """Return how much each token counts, with captum."""
        captum = importlib.import_module("captum.attr")
        tensor, tokens = text_preprocess
        reference = captum.TokenReferenceBase().generate_reference(
            tensor.shape[0], device=self.device
        )
        gradients = captum.LayerIntegratedGradients(self.model, self.model.embedding)
        attributions = gradients.attribute(
            tensor,
            reference.squeeze(0),
            additional_forward_args=torch.tensor([0]).to(self.device),
            return_convergence_delta=False,
            target=target,
        )
        importances = self.summarize_attributions(attributions).tolist()
        return [{"importances": importances, "words": self.get_word_token(tokens)}]
