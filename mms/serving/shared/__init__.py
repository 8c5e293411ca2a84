"""What a server does as one of the fronts of a cluster: it serves what all have registered, and shares workers."""
