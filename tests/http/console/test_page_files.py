"""The files of the console and of `/docs`: what is served of them, and by which rules browsers read them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from mms.http import console

STATIC = Path(console.__file__).parent / "static"
PAGES = ("console", "docs")


@pytest.mark.parametrize("page", PAGES)
async def test_a_page_and_all_its_files_are_served(make_bench: Any, page: str) -> None:
    bench = await make_bench()
    names = [path.name for path in (STATIC / page).iterdir() if path.suffix in (".js", ".css")]
    assert names
    for name in ("", *names):
        status, head, body = await bench.call("GET", f"/{page}/{name}")
        assert status == 200, name
        assert body == (STATIC / page / (name or "index.html")).read_bytes()
        assert b"X-Content-Type-Options: nosniff" in head


@pytest.mark.parametrize("page", PAGES)
async def test_a_page_runs_nothing_but_its_own_files_and_no_page_frames_it(
    make_bench: Any, page: str
) -> None:
    bench = await make_bench()
    _, head, body = await bench.call("GET", f"/{page}")
    rules = re.search(rb"Content-Security-Policy: (.*)\r\n", head)
    assert rules is not None
    assert b"default-src 'none'; script-src 'self';" in rules[1]
    assert b"frame-ancestors 'none'" in rules[1]
    assert b"<style" not in body and not re.search(rb"<script(?! src=\"/)|\son\w+=|style=", body)


def test_no_file_of_the_console_makes_html_of_a_text_or_asks_another_host() -> None:
    for path in (STATIC / "console").iterdir():
        text = path.read_text("utf-8")
        found = re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|Function\(", text
        )
        assert found is None, f"{path.name}: {found}"
        others = set(re.findall(r"https?://[^\s\"'`]+", text)) - {"http://www.w3.org/2000/svg"}
        assert others == set(), path.name


def test_every_module_that_a_file_imports_is_there() -> None:
    for path in (STATIC / "console").glob("*.js"):
        for name in re.findall(r'from "\./([^"]+)"', path.read_text("utf-8")):
            assert (path.parent / name).is_file(), f"{path.name} imports {name}"


@pytest.mark.parametrize(
    "path",
    [
        *("/console/..%2fconsole_api.py", "/console/%2e%2e/page_files.py", "/console/none.js"),
        *(
            "/console/..%2fdocs%2findex.html",
            "/docs/..%2fconsole%2findex.html",
            "/docs//etc/passwd",
        ),
    ],
)
async def test_nothing_but_the_files_of_a_page_is_read(make_bench: Any, path: str) -> None:
    bench = await make_bench()
    status, _, body = await bench.call("GET", path)
    assert status == 404, body


async def test_the_root_of_management_leads_a_browser_to_the_console(make_bench: Any) -> None:
    bench = await make_bench()
    status, head, _ = await bench.call("GET", "/", b"", "Accept: text/html,*/*;q=0.8")
    assert status == 303 and b"Location: /console\r\n" in head


@pytest.mark.parametrize("accept", ["*/*", "application/json"])
async def test_other_clients_get_at_the_root_what_they_always_got(
    make_bench: Any, accept: str
) -> None:
    bench = await make_bench()
    status, head, _ = await bench.call("GET", "/", b"", f"Accept: {accept}")
    assert status == 405 and b"allow: OPTIONS\r\n" in head
    status, _, body = await bench.call("OPTIONS", "/", b"", "Accept: text/html")
    assert status == 200 and b'"openapi"' in body
