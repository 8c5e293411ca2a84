"""Train a small residual network on the digits of scikit-learn, and write what the archive is made of.

Written are `model.pt` (TorchScript), `weights.pt` (weights alone, for the class in `digit_network.py`),
`index_to_name.json`, and images of held-out digits as files to ask the server about.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from digit_network import DigitNetwork
from PIL import Image
from sklearn.datasets import load_digits

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
#: Of the images that are written: as many pixels as ImageNet's networks look at.
SIDE = 224
HELD_OUT = 200
#: By which the image classifier normalizes.
MEAN = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
DEVIATION = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model-dir", type=Path, required=True)
    parser.add_argument("--images-dir", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=12)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    digits = load_digits()
    pixels = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16
    # As the classifier hands images on: three channels, normalized.
    inputs = (pixels.expand(-1, 3, -1, -1) - MEAN) / DEVIATION
    labels = torch.tensor(digits.target)
    network = DigitNetwork()
    fit(network, inputs[:-HELD_OUT], labels[:-HELD_OUT], arguments.epochs)
    network.eval()
    with torch.inference_mode():
        found = network(inputs[-HELD_OUT:]).argmax(dim=1)
    print(f"held-out accuracy: {(found == labels[-HELD_OUT:]).float().mean():.3f}")
    write(network, arguments.model_dir)
    arguments.images_dir.mkdir(parents=True, exist_ok=True)
    for digit in range(10):
        place = int((labels[-HELD_OUT:] == digit).nonzero()[0]) + len(labels) - HELD_OUT
        # In colour, as the classifier's normalization has three channels.
        small = Image.fromarray((digits.images[place] * 15.9).astype("uint8")).convert("RGB")
        small.resize((SIDE, SIDE), Image.Resampling.BOX).save(
            arguments.images_dir / f"{WORDS[digit]}.png"
        )


def fit(network: torch.nn.Module, inputs: torch.Tensor, labels: torch.Tensor, epochs: int) -> None:
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    for _ in range(epochs):
        order = torch.randperm(len(inputs))
        for batch in order.split(64):
            loss = torch.nn.functional.cross_entropy(network(inputs[batch]), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def write(network: torch.nn.Module, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    torch.jit.script(network).save(str(folder / "model.pt"))
    torch.save(network.state_dict(), folder / "weights.pt")
    names = {str(digit): word for digit, word in enumerate(WORDS)}
    (folder / "index_to_name.json").write_text(json.dumps(names))


if __name__ == "__main__":
    main()
