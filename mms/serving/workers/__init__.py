"""The workers of models: their processes, their lives, and what their code may ask of the server."""
