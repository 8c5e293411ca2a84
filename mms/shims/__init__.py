"""Packages of other makers' names, for models only: their folders are put on a worker's path."""
