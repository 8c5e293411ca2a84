"""What MMS takes and has no effect here."""

from __future__ import annotations

from dataclasses import dataclass

from mms.settings.option import BOOLEAN, COUNT, POSITIVE, TEXT, option

_JVM = "Accepted without effect"


@dataclass
class OptionsWithoutEffect:
    """What MMS takes and has no effect here."""

    model_server_home: str | None = option(
        TEXT, _JVM, "Where MMS is installed.", has_variable=False, has_effect=False
    )
    vmargs: str | None = option(
        TEXT, _JVM, "Arguments of the Java virtual machine.", has_variable=False, has_effect=False
    )
    async_logging: bool = option(
        BOOLEAN, _JVM, "Logging is always asynchronous.", "false", has_effect=False
    )
    number_of_netty_threads: int = option(
        COUNT, _JVM, "Threads of MMS's HTTP library.", "0", has_effect=False
    )
    netty_client_threads: int = option(
        COUNT, _JVM, "Threads of MMS's HTTP library.", "0", has_effect=False
    )
    prefer_direct_buffer: bool = option(
        BOOLEAN, _JVM, "Buffers of MMS's HTTP library.", "false", has_effect=False
    )
    use_native_io: bool = option(
        BOOLEAN,
        _JVM,
        "Sockets of MMS's HTTP library.",
        "true",
        has_variable=False,
        has_effect=False,
    )
    io_ratio: int = option(
        POSITIVE, _JVM, "Threads of MMS's HTTP library.", "50", has_variable=False, has_effect=False
    )
