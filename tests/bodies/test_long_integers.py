from __future__ import annotations

import json

import pytest

from mms.bodies.long_integers import has_long_integer


@pytest.mark.parametrize(
    "text",
    [
        "18446744073709551616",
        "-9223372036854775809",
        "[1,-9223372036854775809]",
        '{"a": 123456789012345678901234567890}',
        "[0.00012345678901234567,\n12345678901234567890123]",
    ],
)
def test_an_integer_beyond_64_bits_is_seen(text: str) -> None:
    assert has_long_integer(text)
    assert has_long_integer(text.encode())
    assert has_long_integer(bytearray(text.encode()))
    assert has_long_integer(memoryview(text.encode()))


@pytest.mark.parametrize(
    "text",
    [
        "[9223372036854775807,-999999999999999999]",
        "[1700000000000000000]",
        "[0.00012345678901234567890,1.2e+12345678901234567890]",
        json.dumps([0.1 + 0.2] * 10),
        '{"names": ["a", "b"], "ndarray": [[1, 2]]}',
        "",
    ],
)
def test_what_64_bits_hold_costs_no_second_parser(text: str) -> None:
    assert not has_long_integer(text)
