"""How many values a row of a saved model has, found without its library and without running what is in the file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

#: What is read of a file: the attributes of an estimator come after its arrays, which may be large.
_MOST_BYTES: Final = 64 * 2**20
# In a pickle: the name of scikit-learn's attribute, how pickle remembers it, and a number of one, two or four bytes.
_SKLEARN: Final = re.compile(rb"n_features_in_(?:\x94|q.|r....)?(?:K(.)|M(..)|J(....))", re.DOTALL)
# In XGBoost's JSON, and in its binary form of it, where the text has its length before it.
_XGBOOST: Final = re.compile(rb'num_feature(?:"\s*:\s*"|S[A-Za-z].{1,8}?)([0-9]+)', re.DOTALL)


def columns_of(path: Path) -> int | None:
    """Return the number of columns that a model of scikit-learn or XGBoost says in its file; None where none is found.

    `path`: the file, or the folder with `model.*`. Blocks.
    """
    files = [path] if path.is_file() else sorted(path.glob("model.*"))
    for file in files:
        try:
            with file.open("rb") as content:
                data = content.read(_MOST_BYTES)
        except OSError:
            continue
        if (found := _SKLEARN.search(data)) is not None:
            return int.from_bytes(found[1] or found[2] or found[3], "little")
        if (found := _XGBOOST.search(data)) is not None:
            return int(found[1])
    return None
