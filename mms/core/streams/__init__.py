"""Answers that are streams, as the front keeps them, and how requests that take no parts get theirs."""
