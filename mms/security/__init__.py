"""Who may do what: keys and their roles, limits per client, and what may listen where."""

from mms.security.access import INFERENCE, Access, make_access, without_credentials
from mms.security.exposure import check_exposure, is_loopback
from mms.security.file_watch import FileWatch, check_often
from mms.security.guard import NOBODY, AuthResult, Guard
from mms.security.key_file import ApiKey, InvalidKeyFile, KeyFile, new_key
from mms.security.key_ring import KeyRing
from mms.security.rate_limit import RateLimit, client_of
from mms.security.roles import ROLE_NAMES, Role
from mms.security.sessions import SESSION_S, Session, Sessions

__all__ = [
    "INFERENCE",
    "NOBODY",
    "Access",
    "ApiKey",
    "FileWatch",
    "AuthResult",
    "Guard",
    "InvalidKeyFile",
    "KeyFile",
    "KeyRing",
    "ROLE_NAMES",
    "RateLimit",
    "Role",
    "SESSION_S",
    "Session",
    "Sessions",
    "check_exposure",
    "check_often",
    "client_of",
    "is_loopback",
    "make_access",
    "new_key",
    "without_credentials",
]
