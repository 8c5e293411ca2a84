"""How a worker process opens and runs a component of Seldon."""
