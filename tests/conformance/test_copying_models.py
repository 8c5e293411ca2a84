"""`copy_of`: a registered model under another name, with other numbers."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest
from support.client import Reply
from support.server import Server, manifest, unique_name

pytestmark = pytest.mark.better_than_mms


def _copy(server: Server, name: str, **options: object) -> Reply:
    return server.management.post(f"/models?{urlencode({'copy_of': name, **options})}")


def test_a_copy_has_the_code_of_the_model_and_numbers_of_its_own(main_server: Server) -> None:
    name, copy = unique_name("threads"), unique_name("copy")
    code = "import os\ndef handle(data, context):\n    return [os.environ['OMP_NUM_THREADS']] * len(data or [1])\n"
    main_server.write_model(name, code, manifest(name))
    main_server.register(name, model_name=name, initial_workers=1, max_batch_delay=7)
    reply = _copy(
        main_server, name, model_name=copy, initial_workers=1, batch_size=4, threads_per_worker=3
    )
    assert (reply.status, reply.json()) == (200, {"status": "Workers scaled"})
    described = main_server.describe(copy)
    assert (described["copyOf"], described["batchSize"], described["maxBatchDelay"]) == (name, 4, 7)
    assert main_server.inference.get(f"/predictions/{copy}").body == b"3"
    changed = f"/models/{copy}?threads_per_worker=2&synchronous=true"
    assert main_server.management.put(changed).status == 200
    assert main_server.inference.get(f"/predictions/{copy}").body == b"2"
    assert main_server.inference.get(f"/predictions/{name}").body == b"1"
    main_server.unregister(copy)
    main_server.unregister(name)


def test_a_copy_says_nothing_of_code_and_files(main_server: Server) -> None:
    name, copy = unique_name("noop"), unique_name("copy")
    main_server.register("noop", model_name=name)
    for wrong, said in (
        ({"model_name": copy, "handler": "other:handle"}, "Parameter handler is refused"),
        ({"model_name": copy, "url": "noop.mar"}, "Parameter url is refused"),
        ({"model_name": copy, "tracking": "/tmp/x"}, "Parameter tracking is refused"),
        ({"model_name": copy, "threads_per_worker": 0}, "from 1 to 1,024"),
        ({}, "Parameter model_name is required"),
    ):
        reply = _copy(main_server, name, **wrong)
        assert reply.status == 400
        assert said in reply.json()["message"]
    assert _copy(main_server, name, model_name=name).status == 409
    reply = _copy(main_server, unique_name("gone"), model_name=copy)
    assert (reply.status, reply.json()["type"]) == (404, "ModelNotFoundException")
    main_server.unregister(name)
