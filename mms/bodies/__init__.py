"""What more than one interface reads and writes: bodies of requests, JSON, times, what an exception says."""
