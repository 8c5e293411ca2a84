"""Every target of `scripts/fuzz` with examples that hypothesis makes, and with all that fuzzing has found before.

A file in `found/<target>/` is an input that broke a rule once.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scripts.fuzz_targets import TARGETS

FOUND = Path(__file__).parent / "found"


@st.composite
def inputs(draw: st.DrawFn, name: str) -> bytes:
    """Tokens in any order, or a seed with some of its bytes replaced by them."""
    target = TARGETS[name]
    pieces = st.one_of(st.sampled_from(target.tokens), st.binary(max_size=3))
    if draw(st.booleans()):
        return b"".join(draw(st.lists(pieces, max_size=25)))
    data = draw(st.sampled_from(target.seeds))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(data)))
        end = min(len(data), at + draw(st.integers(0, 8)))
        data = data[:at] + draw(pieces) + data[end:]
    return data


@pytest.mark.parametrize("name", TARGETS)
def test_a_parser_keeps_its_rules_whatever_bytes_it_is_given(name: str, is_full: bool) -> None:
    @settings(
        max_examples=200 if is_full else 50,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
        database=None,
    )
    @given(inputs(name))
    def check(data: bytes) -> None:
        TARGETS[name].check(data)

    check()


@pytest.mark.parametrize("name", TARGETS)
def test_the_inputs_that_fuzzing_begins_with_are_good(name: str) -> None:
    assert TARGETS[name].seeds
    for seed in TARGETS[name].seeds:
        TARGETS[name].check(seed)


@pytest.mark.parametrize(
    "path",
    sorted(FOUND.glob("*/*")),
    ids=lambda path: f"{path.parent.name}/{path.name}" if isinstance(path, Path) else "",
)
def test_what_fuzzing_has_found_stays_mended(path: Path) -> None:
    TARGETS[path.parent.name].check(path.read_bytes())
