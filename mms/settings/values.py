"""All options, each once: the server's by subject, and those of interfaces."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache

from mms.interfaces import INTERFACES, part
from mms.settings.option import Option
from mms.settings.sections.limits import LimitOptions
from mms.settings.sections.listeners import ListenerOptions
from mms.settings.sections.models import ModelOptions
from mms.settings.sections.nodes import NodeOptions
from mms.settings.sections.security import SecurityOptions
from mms.settings.sections.server import ServerOptions
from mms.settings.sections.without_effect import OptionsWithoutEffect
from mms.settings.sections.workers import WorkerOptions

_SECTIONS = (
    ListenerOptions,
    ModelOptions,
    WorkerOptions,
    NodeOptions,
    LimitOptions,
    SecurityOptions,
    ServerOptions,
    OptionsWithoutEffect,
)


@dataclass
class OptionValues(
    ListenerOptions,
    ModelOptions,
    WorkerOptions,
    NodeOptions,
    LimitOptions,
    SecurityOptions,
    ServerOptions,
    OptionsWithoutEffect,
):
    """The values of the server's options, under their names in a properties file."""


@cache
def interface_settings() -> tuple[type, ...]:
    """Return the classes of the settings that interfaces have."""
    return tuple(part(interface.settings) for interface in INTERFACES if interface.settings)


@cache
def all_options() -> Mapping[str, Option]:
    """Return every option by its name in a properties file: the server's, the interfaces', then those without effect.

    It is a function because the interfaces' modules import this package.
    """
    found = {
        member.name: member.metadata["option"]
        for kind in (*_SECTIONS, *interface_settings())
        for member in fields(kind)
    }
    idle = {name: option for name, option in found.items() if not option.has_effect}
    return {name: option for name, option in found.items() if option.has_effect} | idle
