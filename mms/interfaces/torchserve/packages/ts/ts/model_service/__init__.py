"""Services as they were before TorchServe's handlers."""
