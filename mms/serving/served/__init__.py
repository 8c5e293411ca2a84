"""The models that the server serves: those with workers, and those that ask others."""
