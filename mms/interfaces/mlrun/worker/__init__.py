"""How a worker process opens and runs classes and flows of MLRun."""
