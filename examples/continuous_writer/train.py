"""Train a small neural language model on `tale.txt`, in some seconds: which character follows the last ones."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from writer_handler import CONTEXT, Network

_HERE = Path(__file__).parent
_VECTOR, _HIDDEN, _BATCH = 12, 128, 64


def trained(text: str, steps: int) -> Network:
    """Return a network that has seen so many batches of places in the text (Adam, cross entropy)."""
    dice = np.random.default_rng(1)
    alphabet = "".join(sorted(set(text)))
    numbers = np.array([alphabet.index(character) for character in text])
    size = len(alphabet)
    network = Network(
        alphabet,
        [
            dice.normal(0, 1, (size, _VECTOR)),
            dice.normal(0, (CONTEXT * _VECTOR) ** -0.5, (CONTEXT * _VECTOR, _HIDDEN)),
            np.zeros(_HIDDEN),
            dice.normal(0, _HIDDEN**-0.5, (_HIDDEN, size)),
            np.zeros(size),
        ],
    )
    means = [np.zeros_like(weights) for weights in network.weights]
    squares = [np.zeros_like(weights) for weights in network.weights]
    for step in range(1, steps + 1):
        places = dice.integers(0, len(numbers) - CONTEXT, _BATCH)
        before = numbers[places[:, None] + np.arange(CONTEXT)]
        gradients = _gradients(network, before, numbers[places + CONTEXT])
        for weights, gradient, mean, square in zip(
            network.weights, gradients, means, squares, strict=True
        ):
            mean += 0.1 * (gradient - mean)
            square += 0.001 * (gradient**2 - square)
            unbiased = square / (1 - 0.999**step)
            weights -= 0.003 * mean / (1 - 0.9**step) / (np.sqrt(unbiased) + 1e-8)
    return network


def _gradients(network: Network, before: np.ndarray, after: np.ndarray) -> list[np.ndarray]:
    vectors, into_hidden, _, into_scores, _ = network.weights
    inputs, hidden, scores = network.layers(before)
    chances = np.exp(scores - scores.max(1, keepdims=True))
    chances /= chances.sum(1, keepdims=True)
    chances[np.arange(len(after)), after] -= 1
    of_scores = chances / len(after)
    of_hidden = of_scores @ into_scores.T * (1 - hidden**2)
    of_vectors = np.zeros_like(vectors)
    np.add.at(of_vectors, before, (of_hidden @ into_hidden.T).reshape(*before.shape, -1))
    return [
        of_vectors,
        inputs.T @ of_hidden,
        of_hidden.sum(0),
        hidden.T @ of_scores,
        of_scores.sum(0),
    ]


def main() -> None:
    """Write the weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=4000, help="batches to learn from")
    parser.add_argument("--to", type=Path, default=_HERE / "network.npz", help="file to write")
    arguments = parser.parse_args()
    text = (_HERE / "tale.txt").read_text(encoding="utf-8")
    trained(" ".join(text.split()), arguments.steps).save(arguments.to)


if __name__ == "__main__":
    main()
