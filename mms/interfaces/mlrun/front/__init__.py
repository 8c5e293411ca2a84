"""What the front has for MLRun: its routers and its function documents."""
