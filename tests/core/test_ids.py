"""Request ids."""

from __future__ import annotations

import uuid

from mms.core import new_request_id


def test_an_id_is_the_text_of_a_version_4_uuid():
    for _ in range(5000):
        text = new_request_id().decode()
        parsed = uuid.UUID(text)
        assert parsed.version == 4
        assert parsed.variant == uuid.RFC_4122
        assert str(parsed) == text


def test_ids_do_not_repeat():
    ids = {new_request_id() for _ in range(20000)}
    assert len(ids) == 20000
