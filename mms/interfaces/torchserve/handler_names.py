"""The names of the handlers that come with TorchServe: an archive names one in place of a file."""

from __future__ import annotations

#: Modules of `ts.torch_handler`, which the stand-in for that package has, too.
DEFAULT_HANDLERS = frozenset(
    ("base_handler", "image_classifier", "image_segmenter", "object_detector", "text_classifier")
)
#: Those that need TorchServe's own package.
FOREIGN_HANDLERS = frozenset(("dali_image_classifier", "vllm_handler", "trt_llm_handler"))


def is_default_handler(handler: str) -> bool:
    """Return whether a handler has such a name; the archive may still have a file of its own by that name."""
    return handler in DEFAULT_HANDLERS or handler in FOREIGN_HANDLERS
