"""The Open Inference Protocol (v2): its clients over REST and gRPC, and models of the servers that speak it."""
