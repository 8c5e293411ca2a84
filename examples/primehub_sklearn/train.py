"""Trains a classifier of irises and saves it as PrimeHub's and Seldon's scikit-learn servers expect it.

python examples/primehub_sklearn/train.py --model-dir build/iris
"""

from __future__ import annotations

import argparse
from pathlib import Path

import joblib
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

METADATA = """\
name: iris
versions: ["1.0"]
platform: sklearn
inputs:
  - messagetype: ndarray
    schema: {names: [sepal length, sepal width, petal length, petal width], shape: [4]}
outputs:
  - messagetype: ndarray
    schema: {names: [setosa, versicolor, virginica], shape: [3]}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description="Trains a classifier of irises.")
    parser.add_argument("--model-dir", type=Path, required=True, help="folder to save it into")
    model_dir: Path = parser.parse_args().model_dir
    model_dir.mkdir(parents=True, exist_ok=True)
    rows, classes = load_iris(return_X_y=True)
    classifier = make_pipeline(StandardScaler(), LogisticRegression()).fit(rows, classes)
    joblib.dump(classifier, model_dir / "model.joblib")
    (model_dir / "metadata.yaml").write_text(METADATA, encoding="utf-8")
    print(f"{classifier.score(rows, classes):.1%} of the training data are named right")


if __name__ == "__main__":
    main()
