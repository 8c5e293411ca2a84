"""Limits that HTTP and gRPC share: connections, memory, compressed bodies, addresses."""
