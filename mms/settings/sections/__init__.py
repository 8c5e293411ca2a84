"""The options of the server by subject."""
