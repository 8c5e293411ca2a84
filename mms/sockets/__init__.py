"""The sockets that the server listens on, TLS, and the processes that hold clients' connections."""
