"""What a worker tells besides answers: records of requests, metrics."""
