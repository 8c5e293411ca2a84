"""Requests of protocols of tensors to components and graphs. It brings numpy, which most fronts have no use for."""
