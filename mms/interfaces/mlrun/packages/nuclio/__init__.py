"""The folder with `nuclio` in it."""
