"""The folder that goes onto the path of a worker."""
