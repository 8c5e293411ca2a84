"""The APIs of the listeners: a file each, with its rows of the table of routes."""
