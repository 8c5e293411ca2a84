"""The commands of TorchServe's users."""
