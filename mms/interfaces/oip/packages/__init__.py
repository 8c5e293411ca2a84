"""What models of Triton and MLServer import, for where these are not installed: a folder for each package."""
