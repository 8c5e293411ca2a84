"""Which models stay in memory where it is limited. Synchronous; time and sizes are passed in."""
