"""Who may do what: keys and their roles, limits per client, and what may listen where."""

from mms.security.exposure import check_exposure, is_loopback
from mms.security.file_watch import FileWatch
from mms.security.guard import Guard, make_guard
from mms.security.key_file import ApiKey, InvalidKeyFile, KeyFile, new_key
from mms.security.key_ring import KeyRing
from mms.security.rate_limit import RateLimit, client_of
from mms.security.roles import ROLE_NAMES, Role

__all__ = [
    "ApiKey",
    "FileWatch",
    "Guard",
    "InvalidKeyFile",
    "KeyFile",
    "KeyRing",
    "ROLE_NAMES",
    "RateLimit",
    "Role",
    "check_exposure",
    "client_of",
    "is_loopback",
    "make_guard",
    "new_key",
]
