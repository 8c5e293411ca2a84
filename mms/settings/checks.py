"""What a server says of its settings before it starts: what it refuses, and what it takes with a warning."""

from __future__ import annotations

import importlib.util
import logging

from mms.errors import ConfigurationError
from mms.settings.paths import module_of
from mms.settings.settings import Settings
from mms.settings.values import all_options

_KEYS_OF_TLS = ("keystore", "keystore_type", "private_key_file", "certificate_file")


def check_settings(settings: Settings) -> None:
    """Add a notice for each value that is odd. Raises ConfigurationError for one that no server can run with.

    It looks at folders and files, which a command on another machine may not see; so `load_settings` does not.
    """
    for name, option in all_options().items():
        value = settings.get(name)
        if name not in settings.sources or value is None:
            continue
        if option.kind.refuse is not None and (reason := option.kind.refuse(value)):
            raise ConfigurationError(f"Invalid configuration: {settings.quoted(name)} {reason}")
        if option.kind.warn is not None and (reason := option.kind.warn(value)):
            _warn(settings, (name,), reason)
    if settings.default_workers_per_model > settings.max_workers_per_model:
        raise ConfigurationError(
            f"Invalid configuration: {settings.quoted('default_workers_per_model')} is more than "
            f"max_workers_per_model={settings.max_workers_per_model}; each worker is a process"
        )
    if settings.response_timeout_s == 0:
        is_in_seconds = settings.default_response_timeout_seconds == 0
        name = "default_response_timeout" + ("_seconds" if is_in_seconds else "")
        raise ConfigurationError(
            f"Invalid configuration: {settings.quoted(name)} leaves no time for a load or a batch; it "
            "should be 1 or more"
        )
    if not any(address.is_tls for address in settings.listening):
        _warn(settings, _KEYS_OF_TLS, "without effect: no address begins with https:// or grpcs://")
    if not settings.require_signature:
        _warn(
            settings,
            ("trusted_keys",),
            "without effect on what is served, as require_signature is false",
        )

    _tell_where_the_handler_is(settings)


def _tell_where_the_handler_is(settings: Settings) -> None:
    """Add a line for a default handler that only archives can have: that it is wrong shows with the first model."""
    module = module_of(settings.default_service_handler or "")
    if not module or "/" in module or module.endswith(".py"):
        return
    try:
        is_installed = importlib.util.find_spec(module.partition(".")[0]) is not None
    except (ImportError, ValueError):
        is_installed = False
    if not is_installed:
        reason = f"no module {module} is installed, so each archive needs its own"
        quoted = settings.quoted("default_service_handler")
        settings.notices.append((logging.INFO, f"{quoted}: {reason}"))


def _warn(settings: Settings, names: tuple[str, ...], reason: str) -> None:
    set_ones = [settings.quoted(name) for name in names if name in settings.sources]
    if set_ones:
        settings.notices.append((logging.WARNING, f"{', '.join(set_ones)} {reason}"))
