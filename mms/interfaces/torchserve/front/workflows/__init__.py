"""TorchServe's workflows: models and functions of an archive (.war) that answer one request together."""
