"""Fits two classifiers of irises and writes each to a folder, as cloudpickle."""

from __future__ import annotations

import argparse
from pathlib import Path

import cloudpickle
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model-dir", type=Path, default="models")
    folder = parser.parse_args().model_dir
    features, classes = load_iris(return_X_y=True)
    models = {
        "logistic": LogisticRegression(max_iter=1000),
        "tree": DecisionTreeClassifier(max_depth=3, random_state=0),
    }
    for name, model in models.items():
        model.fit(features, classes)
        path = folder / name / "model.pkl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(cloudpickle.dumps(model))
        print(f"{path}: right for {model.score(features, classes):.1%} of the flowers it saw")


if __name__ == "__main__":
    main()
