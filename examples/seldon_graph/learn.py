"""Plays the client of a bandit: asks, looks whether the answer was right, and says so.

python learn.py [url of the deployment] [rounds]
"""

from __future__ import annotations

import json
import random
import sys
import urllib.request
from collections import Counter
from typing import Any

#: The node whose choice is shown.
ROUTER = "router"


def post(url: str, document: Any) -> Any:
    request = urllib.request.Request(
        url, json.dumps(document).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def play(url: str, rounds: int, seed: int | None = None) -> list[int]:
    """The branch that was taken in each round. The truth: 1 where the sum is above zero."""
    generator = random.Random(seed)
    branches = []
    for _ in range(rounds):
        row = [generator.uniform(-1, 2) for _ in range(2)]
        asked = {"data": {"ndarray": [row]}}
        answered = post(f"{url}/api/v1.0/predictions", asked)
        truth = float(sum(row) > 0)
        # The whole answer goes back: its meta.routing tells the graph which nodes took part.
        feedback = {
            "request": asked,
            "response": answered,
            "reward": float(answered["data"]["ndarray"][0][0] == truth),
            "truth": {"data": {"ndarray": [[truth]]}},
        }
        post(f"{url}/api/v1.0/feedback", feedback)
        branches.append(answered["meta"]["routing"][ROUTER])
    return branches


def main() -> None:
    url = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080/seldon/bandit"
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 200
    branches = play(url, rounds)
    tenth = max(rounds // 10, 1)
    for start in range(0, rounds, tenth):
        taken = Counter(branches[start : start + tenth])
        print(f"rounds {start:4} on: strict {taken[0]:3} times, fair {taken[1]:3} times")


if __name__ == "__main__":
    main()
