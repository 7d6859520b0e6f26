"""What the door lets in: compressed or not, in the declared charset, within every bound; hostile answers have names."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.base import SourceBadShape, SourceError
from adapters.http import nested_deeper
from tests.adapters.rest.doors import answered, failure
from tests.adapters.rest.wire import reply, saying


def zipped(data: bytes, encoding: str = "gzip") -> bytes:
    """A compressed answer."""
    packed = gzip.compress(data) if encoding == "gzip" else zlib.compress(data)
    return reply(packed, f"Content-Encoding: {encoding}")


@pytest.mark.parametrize("pack", [zipped, partial(zipped, encoding="deflate"), reply])
async def test_compressed_answers_are_opened(pack: Callable[[bytes], bytes]):
    records = [{"no": str(serial), "name": "某工程"} for serial in range(2000)]
    assert await answered(saying(pack(json.dumps(records).encode()))) == records


async def test_bare_deflate_is_opened():
    packer = zlib.compressobj(wbits=-15)
    data = packer.compress(b'{"a": [1]}') + packer.flush()
    assert await answered(saying(reply(data, "Content-Encoding: deflate"))) == {"a": [1]}


async def test_chunked_answers_are_read():
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n[1,2\r\n2\r\n,3\r\n1\r\n]\r\n0\r\n\r\n"
    assert await answered(saying(chunked)) == [1, 2, 3]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (reply(b"<html>" + b"110101199003070000"), "HTML instead of JSON"),
        (reply("网络故障".encode(), "Content-Type: text/html"), "HTML instead of JSON"),
        (reply(b""), "not JSON"),
        (reply(b"{"), "nested too deep"),
        (reply(b"[1] x"), "not JSON"),
        (reply(b'{"a": NaN}'), "not JSON"),
        (reply(b'{"a": 1e999}'), "not JSON"),
        (reply(b'{"a": -Infinity}'), "not JSON"),
        (reply(b'{"a": "\\ud80"}'), "not JSON"),
        (reply(b'{"a": ' + b"9" * 100_000 + b"}"), "not JSON"),
        (reply('{"a": "中"}'.encode("gb18030")), "not JSON"),
        (reply(b"[" * 17 + b"]" * 17), "nested too deep"),
        (reply(b'{"a":' * 100_000 + b"1" + b"}" * 100_000), "nested too deep"),
        (reply(b"[]", "Content-Encoding: br"), "unknown content encoding"),
        (reply(b"[]", "Content-Encoding: gzip"), "not compressed as it says"),
        (reply(gzip.compress(b"[1]")[:-4], "Content-Encoding: gzip"), "compressed data are cut"),
        (reply(gzip.compress(b"[1]") + b"more", "Content-Encoding: gzip"), "data behind the compressed data"),
        (reply(b"[" + b" " * 5_000_000 + b"]"), "answer too large"),
        (zipped(b"[" + b'"0123456789abcdef",' * 300_000 + b"1]"), "answer too large"),
        (zipped(b"[" + b" " * 3_000_000 + b"]"), "compressed beyond measure"),
        (zipped(b" " * 100_000_000), "answer too large"),
        (reply(b"[]", "X-Long: " + "x" * 9000), "malformed or oversized HTTP header"),
        (reply(b"[]", *(f"X-{number}: x" for number in range(100))), "malformed or oversized HTTP header"),
        (reply(b"[" + b"[]," * 200_000 + b"[]]"), "too many arrays and objects"),
        (b"SMTP ready\r\n\r\n", "malformed or oversized HTTP header"),
    ],
    ids=lambda value: value if isinstance(value, str) else str(len(value)),
)
async def test_what_is_not_the_declared_shape_is_refused(data: bytes, reason: str):
    found = await failure(saying(data))
    assert (type(found), found.reason) == (SourceBadShape, reason)


async def test_hostile_values_that_are_json_arrive_as_they_are():
    odd = b'{"a":1,"a":2,"n":"\\u0000","big":' + b"9" * 40 + b',"s":"[[[[[[[[[[[[[[[[[[[[\\"","e":1e308}'
    answer = await answered(saying(reply(odd)))
    assert answer == {"a": 2, "n": "\0", "big": int("9" * 40), "s": "[" * 20 + '"', "e": 1e308}


PIECES = st.sampled_from(["\ud842", "\udfb7", "𠮷", "\\", '"', "u", "d", "ud842", "中", "a", "\n"])


@settings(max_examples=60)
@given(st.lists(st.lists(PIECES).map("".join), min_size=1, max_size=8))
async def test_half_a_character_spoils_its_own_text_only(texts: list[str]):
    # A pair of halves is a whole character to JSON.
    whole = [text.encode("utf-16", "surrogatepass").decode("utf-16", "replace") for text in texts]
    expected = [re.sub("[\ud800-\udfff]", "\ufffd", json.loads(json.dumps(text))) for text in texts]
    assert await answered(saying(reply(json.dumps(texts).encode()))) == expected
    assert [text.count("𠮷") for text in expected] == [text.count("𠮷") for text in whole]


@pytest.mark.parametrize(
    "data",
    [
        b'["' + b"\\" * 3_999_000 + b'\\ud800"]',
        b'["' + b"\\" * 3_999_000 + b'"',
        b'["' + b"\\ud800" * 660_000 + b'"]',
        b'["' + b"\\udc00\\\\" * 490_000 + b'"]',
        b"[" * 3_999_000,
        b"[" + b"[]," * 1_330_000 + b"[]]",
        b'"["[' * 990_000,
    ],
    ids=["backslashes", "backslashes without end", "high halves", "low halves", "open", "arrays", "in and out"],
)
async def test_no_answer_is_long_in_the_reading(data: bytes):
    """Reading stops everything else, so that the bound is of the loop's own time, tenfold for a busy machine."""
    longest, last, going = 0.0, time.perf_counter(), True

    async def watch() -> None:
        nonlocal longest, last
        while going:
            await asyncio.sleep(0.005)
            now = time.perf_counter()
            longest, last = max(longest, now - last), now

    watching = asyncio.create_task(watch())
    with suppress(SourceError):
        await answered(saying(reply(data)), deadline_ms=20_000)
    going = False
    await watching
    assert longest < 1


async def test_half_a_character_behind_backslashes_is_found():
    text = b'["' + b"\\" * 1000 + b'\\ud800", "' + b"\\" * 1000 + b'ud800"]'
    assert await answered(saying(reply(text))) == ["\\" * 500 + "\ufffd", "\\" * 500 + "ud800"]


async def test_a_length_is_refused_before_the_body():
    async def say(writer: asyncio.StreamWriter, head: bytes) -> None:
        writer.write(reply(b"[", length=10**12))

    found = await failure(say)
    assert found.reason == "answer too large"


async def test_a_body_without_length_is_bounded():
    sent = 0

    async def say(writer: asyncio.StreamWriter, head: bytes) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n[")
        while sent < 200_000_000 and not writer.is_closing():
            writer.write(b"1," * 50_000)
            sent += 100_000
            await writer.drain()

    found = await failure(say, max_bytes=1_000_000, deadline_ms=5000)
    assert found.reason == "answer too large"
    assert sent < 20_000_000


@pytest.mark.parametrize("charset", ["gb18030", "gbk", "gb2312"])
async def test_the_declared_charset_is_read_whatever_the_header_says(charset: str):
    text = '{"名称": "𠮷㛃工程有限公司"}'
    said = reply(text.encode("gb18030"), "Content-Type: application/json; charset=utf-8")
    assert await answered(saying(said), charset=charset) == json.loads(text)


async def test_bytes_of_another_charset_are_refused():
    found = await failure(saying(reply(b'{"a": "\xff\xff"}')), charset="gb18030")
    assert (type(found), found.reason) == (SourceBadShape, "not of the declared charset")


async def test_brackets_inside_characters_do_not_count():
    # In GB18030 the second byte of a character may be a bracket, a quote's backslash or a brace.
    text = json.dumps(["乕乗乚乛" * 50, "𠮷"], ensure_ascii=False)
    assert any(byte in text.encode("gb18030") for byte in b"[\\{")
    assert await answered(saying(reply(text.encode("gb18030"))), charset="gb18030") == json.loads(text)


async def test_a_byte_order_mark_is_no_obstacle():
    assert await answered(saying(reply(b"\xef\xbb\xbf[1]"))) == [1]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=30,
)


def depth_of(value: object) -> int:
    """How deep arrays and objects are nested."""
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if items is None else 1 + max(map(depth_of, items), default=0)


@given(JSON, st.booleans(), st.integers(0, 8))
def test_depth_is_counted_without_what_stands_in_strings(value: object, ascii_only: bool, depth: int):
    text = json.dumps(value, ensure_ascii=ascii_only).encode(errors="surrogatepass")
    assert nested_deeper(text, depth) is (depth_of(value) > depth)


@given(st.text('[]{}"\\,', max_size=40), st.integers(1, 5))
def test_no_text_passes_that_opens_more_than_allowed(text: str, depth: int):
    """Whatever precedes them, brackets beyond the depth are found before the first error of a sequential parser."""
    opening = "[" * (depth + 1)
    assert nested_deeper((opening + text).encode(), depth)


@pytest.mark.parametrize("text", [b'"' + b'\\"' * 2_000_000, b"[]" * 2_000_000, b"[" * 4_000_000, b'"' * 4_000_000])
def test_counting_depth_is_linear(text: bytes):
    began = time.perf_counter()
    nested_deeper(text, 16)
    assert time.perf_counter() - began < 1
