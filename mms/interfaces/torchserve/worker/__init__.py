"""How a worker opens and runs a handler of TorchServe."""
