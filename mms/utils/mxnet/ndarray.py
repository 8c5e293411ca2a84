"""What MXNet models put out, as answers."""

from __future__ import annotations

from typing import Any

from mms.utils.mxnet import mxnet, numpy


def top_probability(data: Any, labels: list[str], top: int = 5) -> list[dict[str, Any]]:
    """The likeliest labels of the first of a batch, likeliest first, as `{"probability", "class"}`."""
    if len(data.shape) > 2:
        data = mxnet.nd.array(numpy.squeeze(data.asnumpy(), axis=tuple(range(2, len(data.shape)))))
    order = mxnet.nd.argsort(data[0], is_ascend=False)
    indices = [int(index.asscalar()) for index in order[0:top]]
    return [{"probability": float(data[0, i].asscalar()), "class": labels[i]} for i in indices]
