"""When a model has workers, and how many: loads for requests, and scaling by load. Synchronous; time is passed in."""
