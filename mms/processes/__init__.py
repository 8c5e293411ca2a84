"""Processes: which started which, how they end, and what the server's process gets and answers at its start."""
