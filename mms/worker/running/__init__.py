"""Running the entry point on batches and on single items."""
