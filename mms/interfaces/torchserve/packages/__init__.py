"""Stand-ins for what handlers of TorchServe import."""
