"""The documents: their links lead somewhere, and each page can be found."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted(
    [ROOT / "README.md", ROOT / "CHANGELOG.md"]
    + list((ROOT / "docs").rglob("*.md"))
    + list((ROOT / "examples").rglob("*.md"))
)
#: Where a link in brackets leads: at once, or in a line of its own below.
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)|^\[[^\]]*\]: (\S+)$", re.MULTILINE)
REFERENCE = re.compile(r"\[[^\]]*\]\[([^\]]+)\]")
#: The project's own files on the web, below which the page of the package index finds them.
OURS = re.compile(r"https://github\.com/marserve/marserve/(?:blob|tree)/main/")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#+ +(.*)$", re.MULTILINE)


def anchors(document: Path) -> set[str]:
    """The names that GitHub gives to the headings of a document."""
    names = set()
    for heading in HEADING.findall(FENCE.sub("", document.read_text(encoding="utf-8"))):
        kept = re.sub(r"[^\w\- ]", "", heading.lower())
        names.add(kept.strip().replace(" ", "-"))
    return names


def links(document: Path) -> list[str]:
    """Where the links of a document lead, as they are written."""
    text = FENCE.sub("", document.read_text(encoding="utf-8"))
    return [at_once or below for at_once, below in LINK.findall(text)]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_within_the_project_leads_to_something(document: Path) -> None:
    dead = []
    for target in links(document):
        folder = document.parent
        if own := OURS.match(target):
            folder, target = ROOT, target[own.end() :]
        elif re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        place = (folder / file).resolve() if file else document
        if not place.exists() or (anchor and anchor not in anchors(place)):
            dead.append(target)
    assert dead == []


def test_the_page_of_the_package_index_has_absolute_links_alone() -> None:
    """It shows README.md where there are no other files. `[text][name]` needs its line below."""
    readme = ROOT / "README.md"
    assert [target for target in links(readme) if not target.startswith("https:")] == []
    text = FENCE.sub("", readme.read_text(encoding="utf-8"))
    defined = set(re.findall(r"^\[([^\]]+)\]: ", text, re.MULTILINE))
    assert set(REFERENCE.findall(text)) == defined


def test_the_index_leads_to_every_page() -> None:
    linked = set(links(ROOT / "docs" / "index.md"))
    pages = {path.name for path in (ROOT / "docs").glob("*.md")} - {"index.md"}
    assert pages - linked == set()
