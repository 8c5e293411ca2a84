"""`mms serve`: what a path holds, served at once. Its ports and folders are those of other commands that serve, too."""
