"""What components import as Seldon's packages; each folder is put on a worker's path."""
