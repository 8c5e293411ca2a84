"""Processes that hold clients' connections for the server's own, the owner, and carry their bytes to it and back."""
