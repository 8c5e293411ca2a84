"""Text that people write and read: quoted values, near names, flags, documents, durations."""
