"""The documents: their links lead somewhere, and each page can be found."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

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


def pages_of(menu: Any) -> list[str]:
    """Where the entries of a menu lead, those of menus in it, too."""
    if isinstance(menu, str):
        return [menu]
    below = menu.values() if isinstance(menu, dict) else menu
    return [page for entry in below for page in pages_of(entry)]


def menu() -> list[Any]:
    """That of the site. The rest of the file names functions, which no safe reader of YAML takes."""
    text = (ROOT / "mkdocs.yml").read_text("utf-8")
    [found] = re.findall(r"^nav:\n(?: .*\n)*", text, re.MULTILINE)
    entries: list[Any] = yaml.safe_load(found)["nav"]
    return entries


def test_the_menu_of_the_site_has_every_page_once() -> None:
    pages = sorted(path.name for path in (ROOT / "docs").glob("*.md"))
    assert sorted(pages_of(menu())) == pages


def test_the_index_has_the_parts_of_the_menu() -> None:
    index = (ROOT / "docs" / "index.md").read_text("utf-8")
    parts = [name for entry in menu() for name in entry]
    assert re.findall(r"^## (.+)$", index, re.MULTILINE) == parts


@pytest.mark.skipif(find_spec("material") is None, reason="needs the extra docs")
def test_the_site_can_be_built_without_a_warning_and_a_dead_link_fails_it(
    tmp_path: Path, is_full: bool
) -> None:
    if not is_full:
        pytest.skip("builds the whole site twice; links are looked at above")

    def built(docs: Path) -> subprocess.CompletedProcess[str]:
        config = tmp_path / "mkdocs.yml"
        text = (ROOT / "mkdocs.yml").read_text("utf-8")
        text = text.replace("docs_dir: docs", f"docs_dir: {docs}")
        config.write_text(text.replace("scripts/docs_hooks.py", f"{ROOT}/scripts/docs_hooks.py"))
        command = [sys.executable, "-m", "mkdocs", "build", "-f", str(config), "-d", "site"]
        return subprocess.run(command, capture_output=True, text=True)

    whole = built(ROOT / "docs")
    assert whole.returncode == 0, whole.stderr
    assert "github.com/marserve/marserve/tree/main/examples" in (
        tmp_path / "site" / "index.html"
    ).read_text("utf-8")
    copy = tmp_path / "pages"
    copy.mkdir()
    for page in (ROOT / "docs").iterdir():
        (copy / page.name).symlink_to(page)
    (copy / "index.md").unlink()
    (copy / "index.md").write_text("[a](settings.md#no-such-part)", "utf-8")
    assert "no-such-part" in built(copy).stderr
