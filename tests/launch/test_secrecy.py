"""A process that is hidden shows nothing to others of its user."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

#: Becomes nobody, hides itself where it is told to, and has a child of the same user look.
_LOOK = """
import ctypes, os, sys
from mms.launch.secrecy import hide_process
if os.getuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
if sys.argv[1] == "hide":
    assert hide_process()
else:
    # A change of the user hides it as well.
    ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)
pid = os.getpid()
child = os.fork()
if child:
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
seen = []
for name in ("environ", "mem", "maps"):
    try:
        open(f"/proc/{pid}/{name}", "rb").close()
        seen.append(name)
    except PermissionError:
        continue
os.write(1, " ".join(seen).encode())
os._exit(0)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc and prctl")
@pytest.mark.parametrize(("how", "seen"), [("hide", ""), ("show", "environ mem maps")])
def test_a_hidden_process_cannot_be_looked_into_by_its_own_user(how: str, seen: str) -> None:
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    looked = subprocess.run(
        [sys.executable, "-c", _LOOK, how], cwd=root, capture_output=True, text=True, timeout=30
    )
    assert looked.returncode == 0, looked.stderr
    assert looked.stdout == seen


_REFUSE = """
import subprocess
from mms.launch.secrecy import refuse_new_rights
assert refuse_new_rights()
print(subprocess.run(["cat", "/proc/self/status"], capture_output=True, text=True).stdout)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc and prctl")
def test_programs_of_a_process_that_refuses_new_rights_gain_none() -> None:
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    told = subprocess.run(
        [sys.executable, "-c", _REFUSE], cwd=root, capture_output=True, text=True, timeout=30
    )
    assert "NoNewPrivs:\t1" in told.stdout, told.stderr


_KEEP = """
import os, subprocess, sys
from mms.launch.secrecy import keep_inherited_files
keep_inherited_files()
look = "import os, sys; print(os.path.exists('/dev/fd/' + sys.argv[1]))"
print(subprocess.run([sys.executable, "-c", look, sys.argv[1]], close_fds=False, capture_output=True, text=True).stdout)
os.fstat(int(sys.argv[1]))
"""


def test_files_that_a_process_has_inherited_go_no_further() -> None:
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    reading, writing = os.pipe()
    try:
        told = subprocess.run(
            [sys.executable, "-c", _KEEP, str(reading)],
            cwd=root,
            pass_fds=[reading],
            capture_output=True,
            text=True,
            timeout=30,
        )
    finally:
        os.close(reading)
        os.close(writing)
    assert (told.returncode, told.stdout.strip()) == (0, "False"), told.stderr
