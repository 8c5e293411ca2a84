"""What aiohttp serves: every request that is not for the fast path."""
