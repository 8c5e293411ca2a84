"""Sizes of memory in settings."""

from __future__ import annotations

import pytest

from mms.settings.memory_size import MemorySize, larger_than_machine, parse_memory_size


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("1048576", 1 << 20),
        ("1M", 1 << 20),
        ("1.5 GiB", 3 << 29),
        ("2gb", 2 << 30),
        (" 80% ", 800),
        ("100%", 1000),
    ],
)
def test_a_size_is_a_number_with_or_without_a_unit_or_a_share(text: str, size_bytes: int) -> None:
    assert parse_memory_size(text).of(1000) == size_bytes


@pytest.mark.parametrize(
    "text", ["", "0", "0%", "101%", "-1", "1X", "M", "nan", "1e9", "80 % of all"]
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="^$"):
        parse_memory_size(text)


def test_a_size_that_the_machine_does_not_have_is_warned_about() -> None:
    assert "limits nothing" in str(larger_than_machine(MemorySize(size_bytes=1 << 60)))
    assert larger_than_machine(MemorySize(share=1.0)) is None
