"""The contract of TorchServe's handlers."""
