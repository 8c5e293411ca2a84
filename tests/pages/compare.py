"""`compare.py ANSWER SHOWN`: whether what was answered is what a page shows, as JSON.

`...` in what is shown stands for any value, as a member's value or as a string.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def differs(answer: Any, shown: Any, where: str = "the answer") -> str | None:
    """Where and how, None where they are alike. Numbers may differ in their last digits."""
    if shown == "...":
        return None
    if isinstance(shown, dict) and isinstance(answer, dict):
        if shown.keys() != answer.keys():
            return f"{where} has {sorted(answer)}, the page {sorted(shown)}"
        pairs = [(answer[key], shown[key], f"{where}.{key}") for key in shown]
    elif isinstance(shown, list) and isinstance(answer, list) and len(shown) == len(answer):
        pairs = [
            (a, b, f"{where}[{i}]") for i, (a, b) in enumerate(zip(answer, shown, strict=True))
        ]
    elif isinstance(shown, float) and isinstance(answer, int | float):
        return None if abs(shown - answer) < 0.01 else f"{where} is {answer}, on the page {shown}"
    else:
        return None if answer == shown else f"{where} is {answer!r}, on the page {shown!r}"
    return next((found for pair in pairs if (found := differs(*pair))), None)


if __name__ == "__main__":
    answered, page = (Path(name).read_text(encoding="utf-8") for name in sys.argv[1:])
    sys.exit(differs(json.loads(answered), json.loads(page)))
