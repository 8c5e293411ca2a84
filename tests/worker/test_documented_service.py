"""The custom service of MMS's documentation (Apache License 2.0), as it is printed there, in a real worker."""

from __future__ import annotations

from pathlib import Path

from .conftest import ModelWriter
from .front import Front, Request

SERVICE = Path(__file__).parent / "data" / "model_handler.txt"


def test_the_documented_service_runs_as_it_is(front: Front, write_model: ModelWriter) -> None:
    folder = write_model("", model_handler_py=SERVICE.read_text())
    worker = front.start()
    loaded = worker.load(
        model_name="documented",
        model_version=None,
        model_dir=folder,
        handler="model_handler:handle",
        batch_size=1,
    )
    assert (loaded.code, loaded.interface) == (200, "mms"), loaded
    for body in (b"", b"anything"):
        outcome = worker.run(Request(body, b"application/octet-stream"))
        assert [(answer.status, answer.body) for answer in outcome.answers] == [(200, b"OK")]
        assert outcome.is_succeeded
    # It insists on full batches.
    assert worker.run(Request(), Request()).answers[0].status == 503
    assert worker.predict(b"").body == b"OK"
