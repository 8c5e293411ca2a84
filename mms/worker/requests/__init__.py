"""Requests as a worker reads them, and answers as it writes them."""
