"""Signatures of archives: key pairs, and how archives are signed and checked."""
