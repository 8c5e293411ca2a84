"""The models that a server starts with: named by settings, or kept in a file."""
