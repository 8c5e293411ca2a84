"""What Seldon's package says of TensorFlow, which nothing here needs: `tftensor` is read without it."""

from __future__ import annotations

notice = ""
