"""From a registration to a model: named steps, each of which can be undone."""
