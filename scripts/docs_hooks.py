"""What the site needs beyond the pages: links to files of the project that are no pages lead to where it is hosted."""

from __future__ import annotations

import posixpath
import re
from typing import Any, Final

_LINK: Final = re.compile(r"\]\((\.\./[^)\s]*)\)")


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Any) -> str:
    """Return a page with such links made absolute. Called by MkDocs."""

    def absolute(link: re.Match[str]) -> str:
        folder = posixpath.dirname(f"docs/{page.file.src_uri}")
        target = posixpath.normpath(posixpath.join(folder, link[1]))
        return f"]({config.extra['source']}/tree/main/{target})"

    return _LINK.sub(absolute, markdown)
