"""What a worker logs."""
