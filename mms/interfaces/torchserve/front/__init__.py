"""TorchServe's APIs."""
