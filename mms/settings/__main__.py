"""`python -m mms.settings`: the documentation page of the settings, on standard output."""

from __future__ import annotations

import sys

from mms.settings.page import settings_page

sys.stdout.write(settings_page())
