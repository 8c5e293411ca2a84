"""The sockets that the server listens on, and TLS."""
