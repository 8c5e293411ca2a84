"""Components of Seldon: their hooks, their calls and what they return."""
