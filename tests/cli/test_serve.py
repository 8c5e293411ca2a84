"""`mms serve` with a server: it answers, shows what goes wrong, and follows the files."""

from __future__ import annotations

import json
from pathlib import Path

from support.waiting import eventually

from .serving import serving

GREETING = """
def handle(data, context):
    return data and [f"Hello, {item['body']['name']}!" for item in data]
"""


def write(file: Path, text: str) -> None:
    file.parent.mkdir(exist_ok=True)
    made = file.with_suffix(".new")
    made.write_text(text)
    made.rename(file)


def test_a_handler_is_served_while_it_is_written(folder: Path) -> None:
    file = folder / "greet" / "service.py"
    write(file, "import no_such_library\n" + GREETING)
    with serving(folder, "greet", "--reload") as server:
        server.wait_ready()
        assert "greet cannot be served: ModuleNotFoundError" in server.screen
        assert "Call        nothing yet" in server.screen

        write(file, GREETING)
        eventually(
            "the mended model answers",
            lambda: server.call('{"name": "Ada"}', "greet") == "Hello, Ada!",
        )
        failed = json.loads(server.call("{}", "greet"))
        assert failed["code"] == 503
        assert "KeyError: 'name' (service.py, line 3)" in failed["message"]
        server.shows(r"service\.py\", line 3, in handle")
        server.shows(r'"POST /predictions/greet HTTP/1.1" 200')

        write(file, "def handle(:\n")
        server.shows("The former one goes on serving")
        assert server.call('{"name": "Ada"}', "greet") == "Hello, Ada!"

        write(file, GREETING.replace("Hello", "Goodbye"))
        eventually(
            "the changed model answers",
            lambda: server.call('{"name": "Ada"}', "greet") == "Goodbye, Ada!",
        )
    assert [each.name for each in (folder / "greet").iterdir()] == ["service.py"]


def test_without_reload_a_model_that_cannot_be_loaded_ends_the_command(folder: Path) -> None:
    write(folder / "m" / "service.py", "import no_such_library\ndef handle(d, c): ...\n")
    with serving(folder, "m") as server:
        assert server.process.wait(60) == 1
        assert "line 1, in <module>" in server.screen
        assert "service could not be loaded: ModuleNotFoundError" in server.screen.splitlines()[-1]
