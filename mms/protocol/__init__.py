"""MMS's own protocol between server and worker, for tools that know it."""
