"""Every option once: the properties file, MMS_* variables, the command line and the docs table come from here."""

from mms.settings.checks import check_settings
from mms.settings.load import load_settings, packaged_config
from mms.settings.option import Option
from mms.settings.settings import Settings
from mms.settings.values import all_options
from mms.text.address import Address

__all__ = [
    "Address",
    "Option",
    "Settings",
    "all_options",
    "check_settings",
    "load_settings",
    "packaged_config",
]
