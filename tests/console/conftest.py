"""One server with keys and one browser for all tests of the console; without Chromium they are left out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.server import Server

from mms.security import KeyFile, Role, new_key

if TYPE_CHECKING:
    from .browser import Browser

#: Answers as its input asks.
SERVICE = """
import base64, time
from pathlib import Path

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPj/HwADBwIAMCbHYQAAAABJRU5ErkJggg=="

def handle(data, context):
    if data is None:
        return None
    print("asked for", len(data))
    return [answer(item.get("body") or item.get("data"), context, index) for index, item in enumerate(data)]

def answer(body, context, index):
    wanted = body.get("want") if isinstance(body, dict) else None
    if wanted == "html":
        context.set_response_content_type(index, "text/html")
        return "<img src=x onerror=alert(1)><b>bold</b>"
    if wanted == "picture":
        context.set_response_content_type(index, "image/png")
        return base64.b64decode(PIXEL)
    if wanted == "failure":
        raise ValueError("asked for")
    if isinstance(body, (bytes, bytearray)):
        context.set_response_content_type(index, "text/plain")
        return f"{len(body)} bytes"
    context.set_response_content_type(index, "application/json")
    return [{"label": "cat", "score": 0.9}, {"label": "dog", "score": 0.1}]
"""
SPEC = {"a": {"hist": [[5, 20, 3], [4.0, 5.0, 6.0, 7.0]]}}


def write_model(folder: Path, name: str, service: str, version: str | None = None) -> None:
    manifest: dict[str, Any] = {
        "specificationVersion": "1.0",
        "implementationVersion": "1.0",
        "modelServerVersion": "1.0",
        "runtime": "python",
        "model": {"modelName": name, "handler": "service:handle"},
    }
    if version is not None:
        manifest["model"]["modelVersion"] = version
    (folder / "MAR-INF").mkdir(parents=True)
    (folder / "MAR-INF" / "MANIFEST.json").write_text(json.dumps(manifest))
    (folder / "service.py").write_text(service)
    (folder / "model_spec.yaml").write_text(json.dumps(SPEC))


class Console:
    """A server with a key of each kind, and a browser that looks at it."""

    def __init__(self, server: Server, keys: dict[str, str], browser: Browser) -> None:
        self.server = server
        self.keys = keys
        self.browser = browser
        #: Where the page lies.
        self.address = f"127.0.0.1:{server.management.address.port}"
        self._headers = {"x-api-key": keys["all"]}

    def call(self, method: str, path: str) -> Any:
        return self.server.management.request(method, path, headers=self._headers).json()

    def predict(self, model: str, body: Any) -> int:
        reply = self.server.inference.post_json(
            f"/predictions/{model}", body, headers=self._headers
        )
        return reply.status

    def revoke(self, key: str) -> None:
        """Take a key away; the session that the browser has by it is over when this returns."""
        KeyFile(self.server.directory / "keys").change(
            lambda known: [each for each in known if each.name != key]
        )
        script = """
            const done = arguments[0];
            fetch("/console/session").then((answer) => answer.json()).then(({key}) => done(!key));
        """
        self.browser.until("no session", lambda: self.browser.driver.execute_async_script(script))

    def login(self, key: str = "all") -> None:
        self.browser.driver.delete_all_cookies()
        self.browser.open("/console")
        self.browser.driver.delete_all_cookies()
        self.browser.driver.refresh()
        self.browser.field("Key").send_keys(self.keys[key])
        self.browser.button("Log in").click()
        self.browser.find("#logout")


@pytest.fixture(scope="session")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    pytest.importorskip("selenium", reason="selenium drives the browser: pip install selenium")
    from .browser import Browser, find_chromium

    if find_chromium() is None:
        pytest.skip("Chromium and its driver are not installed: apt-get install chromium-driver")
    folder = tmp_path_factory.mktemp("console")
    file, keys = KeyFile(folder / "keys"), {}
    for name, roles in (
        ("all", list(Role)),
        ("ask", [Role.INFERENCE]),
        ("manage", [Role.MANAGEMENT]),
        ("measure", [Role.METRICS]),
        ("revoked ask", [Role.INFERENCE]),
        ("revoked all", list(Role)),
    ):
        keys[name], key = new_key(name, roles, now=0.0)
        file.change(lambda known, key=key: [*known, key])
    server = Server(
        folder,
        {
            "keys_file": str(folder / "keys"),
            "default_workers_per_model": "1",
            "load_models": "pets",
        },
    )
    write_model(server.store / "pets", "pets", SERVICE)
    write_model(server.store / "pets-2", "twins", SERVICE, "2.0")
    write_model(server.store / "pets-1", "twins", SERVICE, "1.0")
    write_model(server.store / "broken", "broken", "raise RuntimeError('weights are missing')")
    server.start()
    browser = None
    try:
        browser = Browser(f"http://127.0.0.1:{server.management.address.port}", folder / "profile")
        yield Console(server, keys, browser)
    finally:
        if browser is not None:
            browser.close()
        server.stop()
