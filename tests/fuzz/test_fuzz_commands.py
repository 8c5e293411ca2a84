"""The commands that try to break the server: they find what is broken, and repeat what they did."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


@pytest.fixture(autouse=True)
def scripts_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SCRIPTS))


def test_a_rule_that_is_broken_is_found_and_its_input_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fuzz_targets
    import run_fuzz

    def has_no_c(data: bytes) -> None:
        assert b"c" not in data

    broken = fuzz_targets.Target(has_no_c, (b"b", b"c"), (b"a",))
    monkeypatch.setitem(fuzz_targets.TARGETS, "broken", broken)
    monkeypatch.setattr(run_fuzz, "FOUND", tmp_path)
    monkeypatch.setattr(sys, "argv", ["fuzz", "--engine", "plain", "--seconds", "20", "broken"])
    assert run_fuzz.main() == 1
    (kept,) = (tmp_path / "broken").iterdir()
    assert b"c" in kept.read_bytes()


def test_a_seed_gives_the_same_requests_again() -> None:
    from request_mutations import Mutations

    def first(seed: int) -> list[tuple[str, bytes]]:
        mutations = Mutations(seed)
        return [mutations.next() for _ in range(300)]

    assert first(7) == first(7)
    assert first(7) != first(8)


@pytest.mark.parametrize("options", [["--count", "250"], ["--tensors", "--count", "150"]])
def test_mutated_requests_bring_no_error_of_the_server_and_no_restart(options: list[str]) -> None:
    finished = subprocess.run(
        [sys.executable, str(SCRIPTS / "run_fuzz_requests.py"), "--seed", "5", *options],
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert "no problem" in finished.stdout


@pytest.mark.parametrize(
    ("wanted", "status", "is_told"),
    [("good", 400, True), ("bad", 200, True), ("any", 500, True), ("any", 400, False)],
)
def test_what_does_not_come_of_a_generated_request_as_it_says_is_told(
    wanted: str, status: int, is_told: bool
) -> None:
    import run_fuzz_requests

    outcome = run_fuzz_requests.Outcome()
    answer = b'HTTP/1.1 %d x\r\ncontent-length: 10\r\n\r\n{"error":1' % status
    request = f"POST / HTTP/1.1\r\nX-Fuzz: {wanted}\r\n\r\n".encode()
    run_fuzz_requests._count_answers(outcome, "inference", request, answer)
    assert bool(outcome.problems) is is_told


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (b"HTTP/1.1 503 x\r\ncontent-length: 0\r\n\r\n", "status 503"),
        (
            b'HTTP/1.1 500 x\r\ncontent-length: 35\r\n\r\n{"type": "InternalServerException"}',
            "status 500",
        ),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort", "an answer that is cut off"),
        (b"HTTP/1.1 200 OK\r\n", "an answer that is no HTTP"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nxHTTP/1.1 400 x\r\n\r\n", None),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 500 x\r\ncontent-length: 8\r\n\r\nError: a", None),
    ],
)
def test_an_answer_that_should_not_be_is_told(answer: bytes, problem: str | None) -> None:
    import run_fuzz_requests

    outcome = run_fuzz_requests.Outcome()
    run_fuzz_requests._count_answers(outcome, "inference", b"GET /", answer)
    assert list(outcome.problems) == ([problem] if problem else [])


def test_growth_is_told_and_what_only_varies_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    from run_soak import _judge
    from stress_server import Sample

    def samples(front_bytes_a_sample: int) -> list[tuple[float, Sample]]:
        return [
            (
                number * 5.0,
                Sample(
                    (60 << 20) + number * front_bytes_a_sample + (number % 3 << 18),
                    (80 + number % 5) << 20,
                    50 + number % 7,
                    9,
                    10,
                ),
            )
            for number in range(60)
        ]

    assert _judge(samples(0), 300) == []
    (problem,) = _judge(samples(200_000), 300)
    assert "memory of the front" in problem
