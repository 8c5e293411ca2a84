"""A residual network for images of digits, of any size."""

from __future__ import annotations

import torch
from torch import nn


class DigitNetwork(nn.Module):
    """Answers with a score for each of ten digits."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.first = nn.Conv2d(16, 16, 3, padding=1)
        self.second = nn.Conv2d(16, 16, 3, padding=1)
        self.head = nn.Linear(16 * 64, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        # What was drawn has 8 x 8 pixels, whatever size its image has.
        small = nn.functional.adaptive_avg_pool2d(images, (8, 8))
        features = torch.relu(self.stem(small))
        changed = self.second(torch.relu(self.first(features)))
        return self.head(torch.relu(features + changed).flatten(1))
