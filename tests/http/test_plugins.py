"""What plugins may not do to the server, and whose plugin counts."""

from __future__ import annotations

import asyncio
import json
import threading

import pytest

from mms.errors import ConfigurationError
from mms.http.apis.plugins import Plugins
from mms.http.parameters import ParameterRule
from mms.settings import Settings


def write_plugin(folder, body, name="own"):
    lines = "\n".join(f"        {line}" for line in body.splitlines())
    (folder / "plugin.py").write_text(
        f"class Own:\n    url_pattern = {name!r}\n    endpoint_type = 'INFERENCE'\n"
        f"    def do_get(self, request, response, context):\n{lines}\nendpoints = [Own()]\n"
    )


@pytest.mark.parametrize(
    "body",
    [
        "response.set_header('X-A', 'b\\r\\nX-B: c')",
        "response.set_header('bad name', 'b')",
        "response.set_status(7)",
        "response.body = None",
        "raise SystemExit",
    ],
)
async def test_a_response_that_http_cannot_carry_is_500(make_bench, tmp_path, body):
    write_plugin(tmp_path, body)
    bench = await make_bench(plugins_path=str(tmp_path))
    status, head, told = await bench.call("GET", "/own")
    assert status == 500
    assert b"X-B" not in head
    assert json.loads(told)["message"] == "Unknown exception"


async def test_a_phrase_cannot_add_lines(make_bench, tmp_path):
    write_plugin(tmp_path, "response.set_status(200, 'a\\r\\nX-B: c')")
    bench = await make_bench(plugins_path=str(tmp_path))
    _, head, _ = await bench.call("GET", "/own")
    assert head.startswith(b"HTTP/1.1 200 a  X-B: c\r\n")


async def test_headers_of_every_answer_stay_the_servers(make_bench, tmp_path):
    write_plugin(tmp_path, "response.set_header('Content-Length', '9')\nresponse.body.write(b'ab')")
    bench = await make_bench(plugins_path=str(tmp_path))
    _, head, body = await bench.call("GET", "/own")
    assert b"content-length: 2\r\n" in head.lower() + b"\r\n"
    assert body == b"ab"


async def test_a_plugin_that_hangs_is_given_up_in_time(make_bench, tmp_path):
    write_plugin(tmp_path, "import threading\nthreading.Event().wait(20)")
    bench = await make_bench(plugins_path=str(tmp_path), default_response_timeout_seconds=1)
    assert (await asyncio.wait_for(bench.call("GET", "/own"), 10))[0] == 408
    threads = [thread for thread in threading.enumerate() if thread.name == "plugin"]
    assert threads
    assert all(thread.daemon for thread in threads)


async def test_a_plugin_sees_the_number_of_workers(make_bench, tmp_path):
    write_plugin(tmp_path, "response.body.write(context.config['NUM_WORKERS'].encode())")
    bench = await make_bench(plugins_path=str(tmp_path))
    assert (await bench.call("GET", "/own"))[2] == b"3"


@pytest.mark.parametrize("pattern", [None, "", "a/b"])
def test_a_pattern_that_is_no_segment_is_refused(pattern):
    class Own:
        url_pattern = pattern
        endpoint_type = "INFERENCE"

    with pytest.raises(ConfigurationError, match="one path segment"):
        Plugins([Own()], Settings(), None, ParameterRule(is_strict=False), worker_count=1)  # type: ignore[arg-type]


async def test_strict_parameters_refuse_what_a_plugin_without_a_list_has_not_read(
    make_bench, tmp_path
):
    write_plugin(tmp_path, "response.body.write(request.parameters.get('a', ['-'])[0].encode())")
    bench = await make_bench(plugins_path=str(tmp_path), strict_parameters=True)
    assert (await bench.call("GET", "/own?a=1"))[::2] == (200, b"1")
    status, _, told = await bench.call("GET", "/own?a=1&b=2")
    assert status == 400
    assert json.loads(told)["message"] == (
        "Unknown parameter b has no effect (strict_parameters); the call has been made all the same."
    )


async def test_an_own_ping_replaces_sagemakers(make_bench, tmp_path):
    write_plugin(tmp_path, "response.body.write(b'mine')", name="ping")
    bench = await make_bench(plugins_path=str(tmp_path), has_sagemaker_config=True)
    assert (await bench.call("GET", "/ping"))[2] == b"mine"


async def test_a_toolkits_variables_alone_leave_the_plain_ping(make_bench):
    bench = await make_bench(is_sagemaker=True)
    assert json.loads((await bench.call("GET", "/ping"))[2]) == {"status": "Healthy"}


async def test_a_plugin_that_hangs_leaves_the_others_their_turns(make_bench, tmp_path):
    write_plugin(tmp_path, "import threading\nthreading.Event().wait(20)")
    (tmp_path / "other.py").write_text(
        (tmp_path / "plugin.py").read_text().replace("'own'", "'other'").replace(".wait(20)", "")
    )
    bench = await make_bench(plugins_path=str(tmp_path), default_response_timeout_seconds=1)
    hanging = [bench.call("GET", "/own") for _ in range(9)]
    assert {status for status, _, _ in await asyncio.gather(*hanging)} == {408}
    assert (await bench.call("GET", "/other"))[0] == 200
