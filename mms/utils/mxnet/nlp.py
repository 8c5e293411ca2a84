"""Sentences as numbers, for MXNet models."""

from __future__ import annotations

import bisect
from typing import Any

from mms.utils.mxnet import mxnet, numpy


def encode_sentences(
    sentences: list[list[str]],
    vocab: dict[str, int] | None = None,
    invalid_label: int = -1,
    invalid_key: str = "\n",
    start_label: int = 0,
) -> tuple[list[list[int]], dict[str, int]]:
    """(sentences as numbers, vocabulary).

    Without `vocab` one is made, numbered from `start_label`, leaving out `invalid_label`, which `invalid_key` gets.
    With it, words that it does not hold become `invalid_label`.
    """
    is_fixed = vocab is not None
    words = {invalid_key: invalid_label} if vocab is None else vocab
    following = start_label
    encoded = []
    for sentence in sentences:
        numbers = []
        for word in sentence:
            if word not in words and not is_fixed:
                if following == invalid_label:
                    following += 1
                words[word] = following
                following += 1
            numbers.append(words.get(word, invalid_label))
        encoded.append(numbers)
    return encoded, words


def pad_sentence(
    sentence: list[int],
    buckets: list[int],
    invalid_label: int = -1,
    data_name: str = "data",
    layout: str = "NT",
) -> Any:
    """An MXNet `DataBatch` of one sentence, filled up with `invalid_label` to the next length in `buckets`.

    `layout`: `NT` for batch x time, `TN` for time x batch.
    """
    length = buckets[bisect.bisect_left(buckets, len(sentence))]
    padded = numpy.full((length,), invalid_label, dtype="float32")
    padded[: len(sentence)] = sentence
    shape = (1, length) if layout == "NT" else (length, 1)
    description = mxnet.io.DataDesc(name=data_name, shape=shape, layout=layout)
    return mxnet.io.DataBatch(
        [mxnet.nd.array([padded], dtype="float32")],
        pad=0,
        bucket_key=length,
        provide_data=[description],
    )
