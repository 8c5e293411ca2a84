"""The newest errors: so many, and those of clients apart."""

from __future__ import annotations

from mms.observe import RecentErrors


def test_errors_that_clients_cause_push_out_none_of_the_server_s() -> None:
    errors = RecentErrors()
    errors.note(b"first", "m", "1.0", 503, "no worker")
    for _ in range(1000):
        errors.note(b"x", "", "", 404, "not found")
    newest = errors.newest()
    assert [note.request_id for note in newest if note.status == 503] == ["first"]
    assert len(newest) == 101
    assert {note.status for note in errors.newest(30)} == {404, 503}
    assert len(errors.newest(30)) == 31


def test_the_newest_error_is_the_first() -> None:
    errors = RecentErrors()
    for status in (500, 404, 503):
        errors.note(b"%d" % status, "m", "", status, "")
    assert [note.status for note in errors.newest()] == [503, 404, 500]


def test_a_message_is_cut_and_is_one_line() -> None:
    errors = RecentErrors()
    errors.note(b"x", "m", "", 500, "a\nb" + "c" * 10_000)
    (note,) = errors.newest()
    assert len(note.message) <= 301 and "\n" not in note.message
