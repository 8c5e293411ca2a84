"""Trains a classifier on scikit-learn's handwritten digits and lays out a folder to be packed.

    python examples/digits/train.py --model-dir build/digits --images-dir build/images

Writes `classifier.joblib` and `digits_handler.py` into the model folder. Images that were held out of the
training go into the images folder as `<number>-is-<digit>.json`, ready to be sent to the server.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import joblib
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.svm import SVC

HELD_OUT_SHARE = 0.25
HANDLER = Path(__file__).with_name("digits_handler.py")


def train(model_dir: Path, images_dir: Path, image_count: int) -> None:
    images, digits = load_digits(return_X_y=True)
    training_images, held_out_images, training_digits, held_out_digits = train_test_split(
        images, digits, test_size=HELD_OUT_SHARE, random_state=0, stratify=digits
    )
    # gamma and C as in scikit-learn's own example for this data set.
    classifier = SVC(gamma=0.001, C=10.0)
    classifier.fit(training_images, training_digits)
    accuracy = classifier.score(held_out_images, held_out_digits)
    print(
        f"trained on {len(training_images)} images, "
        f"{accuracy:.1%} of {len(held_out_images)} held-out images are right"
    )

    model_dir.mkdir(parents=True, exist_ok=True)
    joblib.dump(classifier, model_dir / "classifier.joblib")
    shutil.copy(HANDLER, model_dir / HANDLER.name)

    images_dir.mkdir(parents=True, exist_ok=True)
    for number in range(min(image_count, len(held_out_images))):
        rows = held_out_images[number].reshape(8, 8).astype(int).tolist()
        file = images_dir / f"{number:02}-is-{held_out_digits[number]}.json"
        file.write_text(json.dumps({"image": rows}) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the digits model.")
    parser.add_argument("--model-dir", type=Path, required=True, help="folder to be packed")
    parser.add_argument("--images-dir", type=Path, required=True, help="folder for held-out images")
    parser.add_argument("--image-count", type=int, default=12, help="how many of them (12)")
    arguments = parser.parse_args()
    train(arguments.model_dir, arguments.images_dir, arguments.image_count)


if __name__ == "__main__":
    main()
