"""An interface or a batching policy is files and an entry of a table, a parameter a declaration: no more is touched."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.server import Server
from support.waiting import eventually

ROOT = Path(__file__).resolve().parents[3]

#: The files of an interface whose models greet; its package is all that is added.
PACKAGE = {
    "__init__.py": "",
    "interface.py": """
from mms.interfaces.interface import Command, Interface

class ToyInterface(Interface):
    name = "toy"
    title = "Toy"
    noun = "toy"
    nouns = "toys"
    worker = "mms.interfaces.toy.worker"
    class_rule = "mms.interfaces.toy.class_rule:RULE"
    settings = "mms.interfaces.toy.settings:ToySettings"
    parameters = "mms.interfaces.toy.registration:ToyParameters"
    load_part = "mms.interfaces.toy.front:toy_load"
    http_api = "mms.interfaces.toy.front:ToyApi"
    commands = (Command("toy", "Say which toy this is.", "mms.interfaces.toy.command:toy"),)

TOY = ToyInterface()
""",
    "class_rule.py": """
from archiver.source import ClassRule, members_of_class

def is_toy(tree, name):
    return "greet" in members_of_class(tree, name)[0]

RULE = ClassRule(is_toy, bases=frozenset(), lack="has no method greet")
""",
    "settings.py": """
from dataclasses import dataclass
from mms.settings.option import TEXT, option

@dataclass(slots=True)
class ToySettings:
    toy_word: str = option(TEXT, "Toys", "What toys say.", "hello")
""",
    "registration.py": """
from dataclasses import dataclass
from typing import ClassVar
from mms.registration import Key, Options, Shown, parameter
from mms.registration.kind import TEXT

@dataclass(frozen=True, slots=True)
class ToyParameters(Options):
    title: ClassVar[str] = "Of toys"
    word: str | None = parameter(
        "word", TEXT, "What this toy says.", setting="toy_word", keys=(Key("toyWord"),),
        routes=("register", "scale"), needs_workers=True, shown=Shown("word"),
    )
""",
    "load.py": """
from __future__ import annotations
from dataclasses import dataclass
from mms.wire.messages import Message

@dataclass(slots=True)
class ToyLoad(Message):
    word: str = ""
""",
    "front.py": """
from mms.http.interface_api import InterfaceApi
from mms.http.lane.head import LaneRoute
from mms.http.routing import INFERENCE_ROLE, Route
from mms.http.routing.operation import Operation
from mms.http.web.request import state_of
from mms.interfaces.toy.load import ToyLoad
from mms.interfaces.toy.registration import ToyParameters

def toy_load(served, settings, environ):
    return ToyLoad(served.options.asked.of(ToyParameters).with_defaults(settings).word)

class ToyApi(InterfaceApi):
    def __init__(self, asker):
        self._asker = asker

    @classmethod
    def of(cls, settings, host, asker):
        return cls(asker)

    def routes(self):
        told = Operation("post", "greet", "A toy greets.", {"200": {"description": "A greeting"}})
        return [
            Route(
                *(("POST",), "/toys/{model_name}", self._greet, INFERENCE_ROLE),
                fast_path=self._route, operations=(told,),
            )
        ]

    def _route(self, match):
        return LaneRoute(match.values["model_name"], None)

    async def _greet(self, request):
        return await self._asker.ask(request, self._route(state_of(request).match))
""",
    "worker.py": """
from mms.context import Context
from mms.interfaces.toy.load import ToyLoad
from mms.version import __version__
from mms.worker.loading.handler_module import import_handler_module
from mms.worker.loading.model import Model

def open_model(load):
    module, _, name = load.handler.partition(":")
    made = getattr(import_handler_module(module), name)()
    word = load.part("toy", ToyLoad).word
    context = Context(load.model_name, load.model_dir, {}, load.batch_size, load.gpu_id, __version__)

    def serve(data, context):
        return [made.greet(word, item["body"].decode()) for item in data]

    return Model("toy", serve, context)
""",
    "command.py": """
import click

@click.command()
@click.argument("name")
def toy(name):
    print("toy", name)
""",
}
MODEL = "class Friend:\n    def greet(self, word, name):\n        return f'{word}, {name}'\n"
#: A parameter of all models, as it is declared.
NOTE = """
    note: str | None = parameter(
        "note", TEXT, "A note on the model.", routes=_BOTH, keys=(Key("note"),), shown=Shown("note")
    )
    #: Where the archive's manifest has none.
"""


#: A batching policy under which each call has one request. Its entry follows the adaptive one's.
POLICY = """
from mms.core.batching.policy import BatchingPolicy

class SinglePolicy(BatchingPolicy):
    name = "single"
    help = "each call has one request"
    parameters = frozenset()

    def size(self, model, worker, now):
        return 1
"""

#: Prints what commands and pages say, by their words.
COMMANDS = """
import json, sys
from click.testing import CliRunner
from mms.cli.mms import main
from mms.cli.pages import registration, routes, settings
said = {"page " + page.__name__.rpartition(".")[2]: page.document() for page in (registration, routes, settings)}
for words in ("--help", "settings", "toy bear", "models register --help", "models scale --help"):
    said[words] = CliRunner().invoke(main, words.split()).output
print(json.dumps(said))
"""


class House:
    """A copy of the server's code with a toy interface and a toy parameter."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {**os.environ, "PYTHONPATH": str(folder)}

    def run(self, *arguments: str) -> str:
        return subprocess.run(
            [sys.executable, *arguments],
            env=self.environment,
            cwd=self.folder,
            check=True,
            text=True,
            stdout=subprocess.PIPE,
        ).stdout


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    folder = tmp_path_factory.mktemp("house")
    for room in ("mms", "archiver"):
        shutil.copytree(ROOT / room, folder / room, ignore=shutil.ignore_patterns("__pycache__"))
    package = folder / "mms/interfaces/toy"
    package.mkdir()
    for name, text in PACKAGE.items():
        (package / name).write_text(text, encoding="utf-8")
    table = folder / "mms/interfaces/__init__.py"
    text = table.read_text(encoding="utf-8")
    entries = "INTERFACES: tuple[Interface, ...] = ("
    assert entries in text
    text = text.replace(entries, f"{entries}TOY, ")
    text = text.replace(
        "from mms.interfaces.seldon",
        "from mms.interfaces.toy.interface import TOY\nfrom mms.interfaces.seldon",
    )
    table.write_text(text, encoding="utf-8")
    parameters = folder / "mms/registration/model.py"
    text = parameters.read_text(encoding="utf-8")
    marker = "\n    #: Where the archive's manifest has none.\n"
    assert marker in text
    parameters.write_text(text.replace(marker, NOTE), encoding="utf-8")
    (folder / "mms/core/batching/single.py").write_text(POLICY, encoding="utf-8")
    policies = folder / "mms/core/batching/__init__.py"
    text = policies.read_text(encoding="utf-8")
    assert "(AdaptivePolicy, " in text
    text = text.replace("(AdaptivePolicy, ", "(AdaptivePolicy, SinglePolicy, ")
    text = text.replace(
        "from mms.core.batching.policy",
        "from mms.core.batching.single import SinglePolicy\nfrom mms.core.batching.policy",
    )
    policies.write_text(text, encoding="utf-8")
    return House(folder)


@pytest.fixture(scope="module")
def server(house: House, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("served")
    for name, config in (("plain", ""), ("noted", "toyWord: servus\nnote: of the file\n")):
        source = folder / name
        source.mkdir()
        (source / "friend.py").write_text(MODEL, encoding="utf-8")
        (source / "model-config.yaml").write_text(config, encoding="utf-8")
        (folder / "store").mkdir(exist_ok=True)
        house.run(
            *("-m", "archiver.cli", "--model-name", name, "--model-path", str(source)),
            *("--handler", "friend:Friend", "--export-path", str(folder / "store")),
        )
    server = Server(
        folder,
        {"toy_word": "good day", "state_file": str(folder / "state")},
        environment={"PYTHONPATH": str(house.folder)},
    )
    yield server.start()
    server.stop()


@pytest.fixture(scope="module")
def said(house: House) -> dict[str, str]:
    """What commands and pages say, by their words."""
    words: dict[str, str] = json.loads(house.run("-c", COMMANDS))
    return words


def described(server: Server, name: str) -> dict[str, Any]:
    found: dict[str, Any] = server.management.get(f"/models/{name}").json()
    return found


def greeting(server: Server, name: str) -> str:
    return server.inference.post(f"/toys/{name}", b"you").text


def test_an_interface_brings_its_command_settings_parameters_and_pages(
    said: dict[str, str],
) -> None:
    assert said["toy bear"] == "toy bear\n"
    assert "Say which toy this is." in said["--help"]
    assert "toy_word" in said["settings"]
    assert "| `toy_word` | `hello` | text |" in said["page settings"]
    assert "## Of toys" in said["page registration"]
    for name, key in (("word", "toyWord"), ("note", "note")):
        assert f"| `{name}` | yes" in said["page registration"]
        assert f"`{key}`" in said["page registration"]
        for command in ("register", "scale"):
            assert f"--{name}" in said[f"models {command} --help"]
    row = "| POST | `/toys/{model_name}` | inference | A toy greets. *Fast path.* |"
    assert row in said["page routes"]


def test_a_model_of_a_new_interface_is_recognised_and_served(server: Server) -> None:
    reply = server.management.post("/models?url=plain.mar&initial_workers=1&word=hi&note=mine")
    assert reply.status == 200, reply.text
    assert greeting(server, "plain") == "hi, you"
    found = described(server, "plain")
    assert (found["interface"], found["word"], found["note"]) == ("toy", "hi", "mine")


def test_parameters_are_read_from_json_files_and_calls_that_change_them(server: Server) -> None:
    body = json.dumps({"url": "noted.mar", "initial_workers": 1}).encode()
    reply = server.management.post("/models", body, headers={"Content-Type": "application/json"})
    assert reply.status == 200, reply.text
    assert greeting(server, "noted") == "servus, you"
    assert described(server, "noted")["note"] == "of the file"
    changed = server.management.put("/models/noted?word=moin&note=changed&synchronous=true")
    assert changed.status in (200, 202), changed.text
    eventually("the new word", lambda: greeting(server, "noted") == "moin, you")
    assert described(server, "noted")["note"] == "changed"
    lines = (server.directory / "state").read_text(encoding="utf-8").splitlines()
    # A change is a line of its own, behind those before.
    kept = [line for line in lines if '"noted"' in line][-1]
    assert re.search('"toy": ?{"word": ?"moin"}', kept)
    assert re.search('"note": ?"changed"', kept)


def test_the_description_of_the_api_has_them(server: Server) -> None:
    paths = server.management.get("/openapi.json").json()["paths"]
    for method, path in (("post", "/models"), ("put", "/models/{model_name}")):
        names = [declared["name"] for declared in paths[path][method]["parameters"]]
        assert {"word", "note"} <= set(names)
    refused = server.management.post("/models?url=noop.mar&word=hi")
    assert refused.status != 200 or "only toys have it" in str(refused.headers)


def test_a_batching_policy_is_shown_in_help_texts_and_pages(said: dict[str, str]) -> None:
    for words in ("page settings", "page registration", "models register --help"):
        assert "single: each call has one request" in re.sub(r"\s+", " ", said[words]), words
    assert "`adaptive`, `single`, `fixed`" in said["page registration"]


def test_a_batching_policy_is_accepted_described_and_obeyed(server: Server) -> None:
    asked = "batch_size=4&max_batch_delay=60000&batch_policy=single"
    reply = server.management.post(f"/models?url=plain.mar&model_name=single&{asked}")
    assert reply.status == 200, reply.text
    assert described(server, "single")["batchPolicy"] == "single"
    assert "max_batch_delay has no effect on model single" in str(reply.headers)
    server.management.put("/models/single?min_worker=1&synchronous=true")
    # By MMS's rule it would wait for a minute.
    assert greeting(server, "single") == "good day, you"
    refused = server.management.post("/models?url=plain.mar&batch_policy=double")
    assert (refused.status, "adaptive or single or fixed" in refused.text) == (400, True)
