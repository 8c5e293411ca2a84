"""What the fragments of the page are part of."""

from types import SimpleNamespace

model = SimpleNamespace(generate=str.split)
