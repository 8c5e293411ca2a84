"""The shell script of a page, and the folder and environment that it runs in."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from support.processes import base_environment, free_port

from .page import ROOT, SHELL, Block

HERE = Path(__file__).parent
RUN_LIMIT_S = 90.0
#: The ports and folders that pages show; each run has others.
_SHOWN_PORTS = ("8080", "8081", "8443", "9000", "5000", "6000")
_SHOWN_FOLDERS = ("/etc/mms", "/var/log/models", "/srv/iris", "/run/mms.sock")
#: What serves until it is stopped: a reader goes on in another shell. The next one in a block is another way to do it.
_IN_FOREGROUND = re.compile(
    r"^((?:\w+='[^']*' +|\w+=\"[^\"]*\" +|\w+=\S+ +)*mms (?:microservice|serve|mlrun (?!run\b)).*?)(?: +#.*)?$",
    re.MULTILINE,
)
_PREAMBLE = """
set -eEuo pipefail
trap 'echo "failed: line $BLOCK of the page, at: $BASH_COMMAND"' ERR
wait_until_served() {
    for _ in $(seq 1500); do
        grep -q "Model server started" "$1" && return
        kill -0 "$2" 2>/dev/null || break
        sleep 0.02
    done
    cat "$1"
    return 1
}
stop_other_way() {
    [ -z "$SERVED" ] || { kill "$SERVED"; wait "$SERVED" || true; }
}
# end_served: what a block before has left serving
end_served() {
    kill "$LAST"; wait "$LAST" || true
}
. "$PAGES/models.sh"
"""


class PageRun:
    """A fresh folder in which a page's blocks run one after the other; `folder` has it and all that belongs to it.

    Pages outside `docs` are read in the project's folder, so that there is what they name of it.
    """

    def __init__(self, folder: Path, tag: str, page: Path) -> None:
        self._folder = folder
        self._page = page
        self.place = folder / "page"
        self.place.mkdir(parents=True)
        ports = {shown: str(free_port()) for shown in _SHOWN_PORTS}
        self._own = {rf"(?<=[:= ]){shown}\b": own for shown, own in ports.items()}
        self._own |= {re.escape(shown): f"{folder}{shown}" for shown in _SHOWN_FOLDERS}
        if page.parent != ROOT / "docs":
            ignored = shutil.ignore_patterns("__pycache__", "build")
            shutil.copytree(ROOT / "examples", self.place / "examples", ignore=ignored)
            for asking in self.place.glob("examples/*/*.py"):
                text = asking.read_text(encoding="utf-8")
                if "127.0.0.1:8080" in text:
                    asking.write_text(self._with_own(text), encoding="utf-8")
        programs = (str(HERE / "bin"), str(Path(sys.executable).parent), os.environ["PATH"])
        self.environment = base_environment(folder, tag) | {
            "PATH": os.pathsep.join(programs),
            "PYTHONPATH": str(ROOT),
            "PAGES": str(HERE),
            "PROJECT": str(ROOT),
            "PAGES_PYTHON": sys.executable,
            "MMS_CONFIG_FILE": str(folder / "config.properties"),
            "PREDICTIVE_UNIT_HTTP_SERVICE_PORT": ports["9000"],
            "PREDICTIVE_UNIT_GRPC_SERVICE_PORT": ports["5000"],
            "PREDICTIVE_UNIT_METRICS_SERVICE_PORT": ports["6000"],
        }
        (folder / "config.properties").write_text(
            f"inference_address=http://127.0.0.1:{ports['8080']}\n"
            f"management_address=http://127.0.0.1:{ports['8081']}\n"
            "default_workers_per_model=1\n",
            encoding="utf-8",
        )

    def run(self, blocks: Sequence[Block]) -> tuple[int, str]:
        """Do what the page says, after what it presumes: `presumed/PAGE.sh`, if there is one.

        Returns the exit code and what was printed.
        """
        name = self._page.relative_to(ROOT).with_suffix("").as_posix().replace("/", "_")
        presumed = HERE / "presumed" / f"{name}.sh"
        lines = [_PREAMBLE]
        if presumed.exists():
            lines += ["BLOCK=presumed", self._with_own(presumed.read_text(encoding="utf-8"))]
        for block in blocks:
            lines.append(f"BLOCK={block.line}")
            lines.append(f"export PAGES_STATUS={block.marks.get('answers', '')}")
            lines.append(self._with_own(block.marks.get("first", "")))
            lines.append(self._commands(block, presumed.with_suffix(".py")))
        script = self._folder / "page.sh"
        script.write_text("\n".join(lines) + "\n", encoding="utf-8")
        # To a file: a server in the background may keep what its starter wrote to.
        output = self._folder / "output.txt"
        with output.open("wb") as out:
            finished = subprocess.run(
                ["bash", str(script)],
                cwd=self.place,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                timeout=RUN_LIMIT_S,
            )
        return finished.returncode, output.read_text(encoding="utf-8", errors="replace")

    def _commands(self, block: Block, prelude: Path) -> str:
        text = self._with_own(block.text)
        if block.language in SHELL:
            started = _IN_FOREGROUND.sub(
                r'stop_other_way\n\1 > "$TMPDIR/served" 2>&1 &\n'
                r'SERVED=$! LAST=$!; wait_until_served "$TMPDIR/served" $SERVED',
                text,
            )
            return f"SERVED=\n{started}"
        kept = self._folder / f"line{block.line}"
        kept.write_text(text, encoding="utf-8")
        if block.file is not None:
            return f'mkdir -p "$(dirname {block.file})"; cp {kept} {block.file}'
        if "output" in block.marks:
            return f'python {HERE / "compare.py"} "$TMPDIR/answer" {kept}'
        known = prelude.read_text(encoding="utf-8") if prelude.exists() else ""
        kept.write_text(f"{known}\n{text}", encoding="utf-8")
        stand_ins = f"{ROOT}/mms/interfaces/seldon/packages/seldon_core:{ROOT}/mms/interfaces/mlrun/packages/mlrun"
        return f"PYTHONPATH=.:{stand_ins}:$PYTHONPATH python {kept}"

    def _with_own(self, text: str) -> str:
        for shown, own in self._own.items():
            text = re.sub(shown, own, text)
        return text
