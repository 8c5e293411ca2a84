"""Names of how Seldon's wrapper runs under gunicorn."""

from __future__ import annotations

from ._elsewhere import names_elsewhere

__getattr__ = names_elsewhere(
    __name__,
    "this server runs no gunicorn",
    "StandaloneApplication",
    "UserModelApplication",
    "accesslog",
    "post_worker_init",
    "setup_tracing",
    "threads",
    "worker_exit",
)
