"""Where log lines end up: files that rotate, standard output, and the thread or the process that writes them."""
