"""What the front has for Seldon: its routes, its gRPC services and its graphs."""
