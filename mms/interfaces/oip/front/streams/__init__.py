"""Answers in parts, to clients that take any number of them, and to those that take one."""
