"""A page of the documentation as a script: its shell blocks and Python snippets, one after the other, in one shell.

What cannot run as it stands is marked in the page's source, in comments right before its block:

    <!-- not run: REASON -->      is left out, wherever the page is tried
    <!-- slow: REASON -->         is left out unless `--full` asks for all
    <!-- file: NAME -->           is written to that file, not run; so is Python whose first line is `# NAME.py`
    <!-- answers: 400 -->         what `curl` is answered in the block has this status
    <!-- first: COMMAND -->       is run after that command, which does what the page presumes at this place
    <!-- output -->               is JSON, and what `curl` was answered last in the blocks before
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "examples").glob("*/README.md")),
]
SHELL = ("sh", "bash")
_BLOCK = re.compile(
    r"(?P<marks>(?:^<!-- [^\n]*? -->\n)*)^(?P<indent> *)```(?P<language>\w+)\n(?P<text>.*?)^ *```$",
    re.MULTILINE | re.DOTALL,
)
_MARK = re.compile(r"<!-- ([^:\n]+?)(?:: ([^\n]*))? -->")
_NAMED = re.compile(r"# ([\w./-]+\.py)\b")


@dataclass(frozen=True)
class Block:
    """`line`: the page's, of its first character. `marks`: words of its marks to what they say."""

    line: int
    language: str
    text: str
    marks: dict[str, str]

    @property
    def file(self) -> str | None:
        """Where it is written to."""
        if "file" in self.marks:
            return self.marks["file"]
        named = _NAMED.match(self.text) if self.language == "python" else None
        return named[1] if named else None

    @property
    def can_run(self) -> bool:
        return self.file is None and (self.language in SHELL or self.language == "python")


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    blocks = []
    for found in _BLOCK.finditer(text):
        inner = re.sub(rf"^{found['indent']}", "", found["text"], flags=re.MULTILINE)
        line = text.count("\n", 0, found.start("text")) + 1
        marks = dict(_MARK.findall(found["marks"]))
        blocks.append(Block(line, found["language"], inner, marks))
    return blocks


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def summary() -> str:
    """How much of the pages is never tried."""
    tried = [block for page in PAGES for block in blocks_of(page) if block.can_run]
    not_run = sum("not run" in block.marks for block in tried)
    slow = sum("slow" in block.marks for block in tried)
    return f"pages: of {len(tried)} blocks {not_run} are not run, {slow} with --full alone"
