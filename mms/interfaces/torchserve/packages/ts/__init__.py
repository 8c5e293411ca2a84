"""The folder with the package `ts`, which goes onto the path of a worker."""
