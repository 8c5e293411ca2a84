"""What serving classes import as MLRun's packages; each folder is put on a worker's path."""
