"""What clients of TorchServe ask of a model besides a prediction: names for a `ModelOperation`.

Its `path` is what stood behind the version in the path of a prediction, which handlers find as the header `url_path`.
"""

from __future__ import annotations

#: A prediction. One without a `url_path` needs no operation at all.
PREDICT = "ts-predict"
#: `/explanations/{model}`: handlers find the header `explain` with the value `True`.
EXPLAIN = "ts-explain"
#: `GET /models/{model}?customized=true`: handlers find the header `describe` with the value `True`.
DESCRIBE = "ts-describe"

#: What handlers find in their headers for each of them.
HEADERS = {
    "": {"explain": "False", "url_path": ""},
    PREDICT: {"explain": "False", "url_path": ""},
    EXPLAIN: {"explain": "True", "url_path": ""},
    DESCRIBE: {"describe": "True"},
}
URL_PATH = "url_path"
