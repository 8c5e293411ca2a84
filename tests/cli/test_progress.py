"""What a command shows of a load that it waits for."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from mms.cli import progress
from mms.client import ServerRefused


def test_the_state_of_a_model_is_what_its_workers_do() -> None:
    workers: list[dict[str, Any]] = [
        {"status": "READY"},
        {"status": "LOADING", "progress": {"stage": "import", "seconds": 3.4}},
        {"status": "LOADING", "reason": "no weights; next start in 1 seconds"},
    ]
    assert progress.state_of({"minWorkers": 3, "workers": workers}) == (
        "1 of 3 workers ready, import for 3 s, no weights; next start in 1 seconds"
    )


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        (
            "404 T: Model not found: m. It is being registered: 1.0 of 2.0 MB are fetched.",
            "1.0 of 2.0 MB are fetched",
        ),
        ("404 T: Model not found: m. It is being registered.", "registering"),
        ("404 T: Model not found: m", ""),
    ],
)
def test_of_a_model_that_is_not_there_yet_it_is_what_the_server_says(
    message: str, shown: str
) -> None:
    assert progress.coming(message) == shown


def test_a_model_is_looked_at_until_the_call_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_PATIENCE_S", 0)
    monkeypatch.setattr(progress, "_LOOK_S", 0)
    is_over = threading.Event()
    shown: list[str] = []

    class Models:
        def describe(self, name: str) -> dict[str, Any]:
            if not shown:
                raise ServerRefused("m. It is being registered: 1.0 MB are fetched.", status=404)
            return {"minWorkers": 1, "workers": [{"status": "READY"}]}

    class Client:
        models = Models()

    def show(text: str) -> None:
        shown.append(text)
        if len(shown) == 2:
            is_over.set()

    progress._look(Client(), "Loading", "m", show, is_over)  # type: ignore[arg-type]
    assert shown == ["Loading: 1.0 MB are fetched", "Loading: 1 of 1 workers ready"]


def test_nothing_is_shown_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.showing_load(None, "Loading", "m"):  # type: ignore[arg-type]
        pass
    assert capsys.readouterr() == ("", "")
