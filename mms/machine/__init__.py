"""What the machine has: CPUs, GPUs, files to open, other packages, a folder of the server's own."""
