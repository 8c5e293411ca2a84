"""What a file may say of the models that are to be there."""

from __future__ import annotations

import pytest

from mms.serving.watched.desired_state import InvalidDesiredState, read_desired_state


def test_an_entry_is_a_registration_in_the_words_and_units_of_its_json_body() -> None:
    found = read_desired_state(
        b"models:\n- url: a/greeting.mar\n  initial_workers: 2\n  batch_size: 8\n  response_timeout: 30\n"
        b"- {url: b.mar, model_name: other, interface: seldon}\n"
        b"defaults: {other: '2.0'}\n"
    )
    first, second = found.models
    assert (first.name, second.name) == ("greeting", "other")
    assert (first.options.initial_workers, first.options.batch_size) == (2, 8)
    assert first.options.value_of("response_timeout_s") == 30
    assert second.options.value_of("interface") == "seldon"
    assert first.options.value_of("is_from_operator") is True
    assert found.defaults == {"other": "2.0"}
    assert read_desired_state(b'{"models": []}').models == ()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "no list `models:`"),
        (b"models:", "no list `models:`"),
        (b"models: {a: 1}", "no list `models:`"),
        (b"a: [", "no YAML"),
        (b"models: []\nmodel: 1", "'model' is unknown; did you mean models"),
        (b"models: [a.mar]", "model 1 is no mapping"),
        (b"models: [{url: a.mar}, {}]", "model 2: Parameter url is required"),
        (
            b"models: [{url: a.mar, bach_size: 2}]",
            "'bach_size' is unknown; did you mean batch_size",
        ),
        (b"models: [{url: a.mar, batch_size: many}]", "model 1: Parameter batch_size must be"),
        (b"models: [{url: a.mar, synchronous: true}]", "'synchronous' is unknown"),
        (b"models: [{url: a.mar}]\ndefaults: {b: '1'}", "no model 'b' in the file"),
        (b"models: [{url: a.mar}]\ndefaults: {a: 2.0}", "put 2.0 in quotes"),
        (b"x: &a [1]\nmodels: *a", "no YAML"),
    ],
)
def test_what_cannot_be_is_refused_with_its_place_and_what_would_be_right(
    text: bytes, words: str
) -> None:
    with pytest.raises(InvalidDesiredState) as error:
        read_desired_state(text)
    assert words in str(error.value)
