"""What handlers measure, by TorchServe's names: a cache of metrics that lives as long as the worker."""
