"""MLRun's protocol over HTTP: the tree `/v2`, and the root where a model of it has it."""
