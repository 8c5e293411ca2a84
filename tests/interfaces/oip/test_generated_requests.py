"""Generated requests, good and broken, over REST and gRPC: none is the server's fault, and no worker ends of one."""

from __future__ import annotations

from pathlib import Path

import oracles
import test_grpc_oracles as calls
import test_oracles as rest

_REFUSALS = {400, 404}
_CODES = {"OK", "INVALID_ARGUMENT", "NOT_FOUND"}


def test_no_generated_request_is_answered_with_the_servers_fault_or_ends_a_worker(
    tmp_path: Path, is_full: bool
) -> None:
    count = 5_000 if is_full else 150
    oracles.write_handler(tmp_path / "models" / "echo")
    if is_full:
        # Those declare what they take.
        oracles.write_triton_models(tmp_path / "models")
    model = "" if is_full else "echo"
    server, target = calls.served(tmp_path, tmp_path / "models")
    caller = calls.Caller(target)
    try:
        server.start()
        address = rest.address_of(server)
        made, generated = rest.Requests(11, has_binary=True), calls.Requests(12, model)
        answered = 0
        for _ in range(count):
            asked = made.next()
            if model and asked.model != "nobody":
                asked = asked._replace(model=model)
            answer = rest.ask(address, asked)
            assert answer.status in {200, *_REFUSALS}, (asked, answer)
            call = generated.next()
            found = caller.ask(call)
            assert found.code in _CODES, (call, found)
            answered += (answer.status == 200) + (found.code == "OK")
        # Six in ten are good.
        assert answered > count
        workers = server.describe("echo" if model else "FP32")["workers"]
        assert [worker["restarts"] for worker in workers] == [0] * len(workers) != []
    finally:
        caller.close()
        server.stop()
