"""Multipart forms."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mms.bodies.invalid_input import InvalidInput
from mms.bodies.multipart import MAX_HEADER_BYTES, MAX_PARTS, find_boundary, find_parts

DISPOSITION = b"Content-Disposition: form-data; "


def part(headers: bytes, value: bytes, line: bytes = b"\r\n") -> bytes:
    return b"--B" + line + headers + line + line + value + line


def values(body: bytes, boundary: bytes = b"B") -> list[tuple[str, str, bool, bytes]]:
    found = find_parts(body, boundary)
    assert found == find_parts(bytearray(body), boundary)
    return [(p.name, p.content_type, p.is_file, body[p.start : p.end]) for p in found]


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ("multipart/form-data; boundary=B", b"B"),
        ("multipart/form-data;boundary=B", b"B"),
        ("multipart/form-data; Boundary=B", b"B"),
        ('multipart/form-data; boundary="some B"', b"some B"),
        ('multipart/form-data; boundary="B;C" ; charset=utf-8', b"B;C"),
        ("multipart/form-data; charset=utf-8; x=1; boundary=B", b"B"),
        ("multipart/form-data; boundary=B; charset=utf-8", b"B"),
        ("multipart/form-data", None),
        ("multipart/form-data; charset=utf-8", None),
    ],
)
def test_the_boundary_is_found_in_the_content_type(
    content_type: str, boundary: bytes | None
) -> None:
    assert find_boundary(content_type) == boundary


@pytest.mark.parametrize("value", ["", '""', " "])
def test_an_empty_boundary_is_refused(value: str) -> None:
    with pytest.raises(InvalidInput, match="boundary"):
        find_boundary(f"multipart/form-data; boundary={value}")


@pytest.mark.parametrize(
    ("headers", "name", "content_type", "is_file"),
    [
        (DISPOSITION + b'name="a"', "a", "", False),
        (DISPOSITION + b"name=a", "a", "", False),
        (DISPOSITION + b'name="a"\r\nContent-Type: application/json', "a", "", False),
        (DISPOSITION + 'name="ü"'.encode(), "ü", "", False),
        (DISPOSITION + b'name="a\\"b"', 'a"b', "", False),
        (DISPOSITION + b'name="a%22b"', "a%22b", "", False),
        (DISPOSITION + b'name="a;b=c, d:e"', "a;b=c, d:e", "", False),
        (b"content-disposition: Form-Data; NAME=a", "a", "", False),
        (b"content-disposition:form-data;name=a", "a", "", False),
        (b"Other: x\r\n" + DISPOSITION + b"name=a\r\nno colon", "a", "", False),
        (DISPOSITION + b'name="a"; filename="f"', "a", "application/octet-stream", True),
        (DISPOSITION + b'name="a"; filename=""', "a", "application/octet-stream", True),
        (DISPOSITION + b"name=a; filename=", "a", "application/octet-stream", True),
        (DISPOSITION + b'filename="name=x"; name="a"', "a", "application/octet-stream", True),
        (DISPOSITION + b"name=a; filename*=UTF-8''f", "a", "application/octet-stream", True),
        (DISPOSITION + b"name=a; filename=f\r\nContent-Type: text/csv", "a", "text/csv", True),
        (DISPOSITION + b"name=a; filename=f\r\nContent-Type: a/b; c=d", "a", "a/b", True),
        (DISPOSITION + b"name=a; filename=f\r\nContent-Type:", "a", "", True),
        (b"Content-Type: a/b\r\n" + DISPOSITION + b"name=a; filename=f", "a", "a/b", True),
    ],
)
def test_a_part_is_described_by_its_headers(
    headers: bytes, name: str, content_type: str, is_file: bool
) -> None:
    body = part(headers, b"value") + b"--B--\r\n"
    assert values(body) == [(name, content_type, is_file, b"value")]


@pytest.mark.parametrize(
    "body",
    [
        part(DISPOSITION + b"name=a", b"1") + b"--B--\r\n",
        part(DISPOSITION + b"name=a", b"1") + b"--B--",
        part(DISPOSITION + b"name=a", b"1") + b"--B--\r\nan epilogue\r\n--B\r\n",
        part(DISPOSITION + b"name=a", b"1") + b"--B",
        part(DISPOSITION + b"name=a", b"1") + b"--B\r\n",
        b"a preamble\r\n" + part(DISPOSITION + b"name=a", b"1") + b"--B--",
        part(DISPOSITION + b"name=a", b"1", b"\n") + b"--B--\n",
        b"--B \t\r\n" + DISPOSITION + b"name=a\r\n\r\n1\r\n--B--  \r\n",
    ],
)
def test_the_frame_around_a_part_may_vary(body: bytes) -> None:
    assert values(body) == [("a", "", False, b"1")]


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\r\n",
        b"\n",
        b"\x00\xff",
        b"x--B--",
        b"\r\n--Bee",
        b"\r\n--b\r\n",
        b"\r\n\r\n-",
    ],
)
def test_a_value_is_taken_to_the_byte(value: bytes) -> None:
    body = part(DISPOSITION + b"name=a", value) + part(DISPOSITION + b"name=b", b"2") + b"--B--"
    assert values(body) == [("a", "", False, value), ("b", "", False, b"2")]


@pytest.mark.parametrize("body", [b"", b"nothing of a form", b"--Bee\r\n", b" --B\r\n", b"--B--"])
def test_a_body_without_the_boundary_has_no_parts(body: bytes) -> None:
    assert values(body) == []


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (part(DISPOSITION + b"name=a", b"1")[:-2], "ends within part 'a'"),
        (part(DISPOSITION + b"name=a", b"1") + b"--B\r\nContent-D", "within the headers of part 2"),
        (part(b"Content-Type: a/b", b"1") + b"--B--", "part 1 of the multipart body has no name"),
        (
            part(DISPOSITION + b'name=""', b"1") + b"--B--",
            "part 1 of the multipart body has no name",
        ),
        (b"--B\r\n\r\n1\r\n--B--", "part 1 of the multipart body has no name"),
        (part(b"X: " + b"x" * MAX_HEADER_BYTES, b"1") + b"--B--", f"over {MAX_HEADER_BYTES} bytes"),
        (part(DISPOSITION + b"name=a", b"") * (MAX_PARTS + 1), f"more than {MAX_PARTS} parts"),
    ],
)
def test_a_malformed_body_is_refused_with_what_is_wrong(body: bytes, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        find_parts(body, b"B")


NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1)


@given(st.lists(st.tuples(NAMES, st.binary())))
def test_what_a_client_encodes_comes_out_again(fields: list[tuple[str, bytes]]) -> None:
    boundary = b"a-boundary-that-no-value-holds"
    body = b"".join(
        b'--%b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n'
        % (boundary, name.replace("\\", "\\\\").replace('"', '\\"').encode(), value)
        for name, value in fields
    )
    found = values(body + b"--%b--\r\n" % boundary, boundary)
    assert [(name, value) for name, _, _, value in found] == fields


PIECES = st.sampled_from(
    [
        b"--B",
        b"--",
        b"\r\n",
        b"\n",
        b"\r",
        DISPOSITION,
        b'name="a"',
        b"name=",
        b"; filename=f",
        b"x",
    ]
)


@given(st.lists(PIECES | st.binary(max_size=3)).map(b"".join))
def test_nothing_but_invalid_input_is_raised(body: bytes) -> None:
    for content in (body, b"--B\r\n" + body, part(DISPOSITION + b"name=a", body)):
        try:
            for found in find_parts(content, b"B"):
                assert 0 <= found.start <= found.end <= len(content)
        except InvalidInput:
            pass


@given(st.text(alphabet='boundary=;" \\B'))
def test_nothing_but_invalid_input_is_raised_for_a_content_type(parameters: str) -> None:
    try:
        find_boundary(f"multipart/form-data;{parameters}")
    except InvalidInput:
        pass
