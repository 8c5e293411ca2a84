"""Loading a model: its manifest, its module, the packages that it imports."""
