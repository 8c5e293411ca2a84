from __future__ import annotations

import pytest

from mms.log_writer.lines import (
    BY_TIME,
    STDOUT,
    Lines,
    line_count,
    output_count,
    pack,
    plain_lines,
    unpack,
    written_out,
)

_SERVER, _OWN = 1, 2
_SERVER_LOG = _SERVER | STDOUT | BY_TIME


def _text_of(items: list[Lines], output: int) -> str:
    texts = [text for outputs, text, _ in written_out(items) if outputs & output]
    assert len(texts) <= 1
    return "".join(text.decode() for text in texts)


def test_each_output_gets_every_line_between_words_of_its_own() -> None:
    lines = (5, "one\ntwo", 2, 1, ((_OWN, "a ", ""), (_SERVER_LOG, "b ", " c")))
    assert _text_of([lines], _OWN) == "a one\na two\n"
    assert _text_of([lines], _SERVER) == _text_of([lines], STDOUT) == "b one c\nb two c\n"


def test_lines_that_are_the_same_many_times_are_written_so_often() -> None:
    lines = (5, "one\ntwo", 2, 3, ((_OWN, "a ", ""),))
    assert _text_of([lines], _OWN) == "a one\na two\n" * 3
    assert line_count([lines]) == 6


def test_the_servers_log_is_in_order_of_time_and_other_files_as_lines_came() -> None:
    late = (9, "late", 1, 1, ((_OWN, "", ""), (_SERVER_LOG, "", "")))
    early = (3, "early", 1, 1, ((_OWN, "", ""), (_SERVER_LOG, "", "")))
    too = plain_lines(_SERVER_LOG, "early too\n", 3)
    assert _text_of([late, early, too], _OWN) == "late\nearly\n"
    assert _text_of([late, early, too], STDOUT) == "early\nearly too\nlate\n"


def test_what_standard_output_has_a_copy_of_is_made_once() -> None:
    (done,) = written_out([plain_lines(_SERVER_LOG, "one\ntwo\n"), plain_lines(_SERVER_LOG, "3\n")])
    assert done == (_SERVER | STDOUT, b"one\ntwo\n3\n", 3)


def test_who_writes_gives_way_before_each_item() -> None:
    ways: list[None] = []
    items = [plain_lines(_SERVER_LOG, "one\n")] * 5
    assert written_out(items, lambda: ways.append(None)) == written_out(items)
    assert len(ways) == 5


@pytest.mark.parametrize("text", ["", "one\n", "Traceback:\n  a\n\nb\n"])
def test_whole_lines_stay_as_they_are(text: str) -> None:
    lines = plain_lines(_OWN | STDOUT, text)
    assert written_out([lines]) == [(_OWN | STDOUT, text.encode(), text.count("\n"))]


def test_what_is_counted_before_is_what_is_written() -> None:
    items = [
        plain_lines(_SERVER_LOG, "a\nb\n"),
        (1, "x\ny\nz", 3, 2, ((_OWN, "p", "s"), (_SERVER_LOG, "", ""))),
    ]
    done = written_out(items)
    assert output_count(items) == sum(outputs.bit_count() for outputs, _, _ in done) == 3
    assert line_count(items) == sum(outputs.bit_count() * lines for outputs, _, lines in done)
    assert all(data.count(b"\n") == lines for _, data, lines in done)


def test_text_that_is_not_quite_unicode_arrives_in_full() -> None:
    items = unpack(pack([plain_lines(_OWN, "caf\xe9 \udcff \U0001f600\n")]))
    assert _text_of(list(items), _OWN) == "caf\xe9 \\udcff \U0001f600\n"


def test_the_begin_of_packed_lines_is_refused() -> None:
    packed = pack([plain_lines(_OWN, "one\n" * 100)])
    with pytest.raises((EOFError, ValueError)):
        unpack(packed[:-1])
