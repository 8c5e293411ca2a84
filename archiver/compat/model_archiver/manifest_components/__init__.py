"""The parts of a manifest as MMS's archiver models them."""
