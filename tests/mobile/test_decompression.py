"""A compressed body is decompressed; a decompression bomb is refused before it uses much memory."""

from __future__ import annotations

import contextlib
import gzip
import tracemalloc
import zlib
from collections.abc import Callable

import brotli
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mita_otel.mobile.envelope import EnvelopeError, UnsupportedEncodingError, decompress, known_encodings

MB = 1_000_000


def bare_deflate(body: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return stream.compress(body) + stream.flush()


PACKERS: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("gzip", gzip.compress),
    ("deflate", zlib.compress),
    ("deflate", bare_deflate),
    ("br", brotli.compress),
]
IDS = ["gzip", "deflate", "bare deflate", "br"]


def undo(body: bytes, encoding: str, *, max_size: int = 50 * MB, max_ratio: int = 100) -> bytes:
    return decompress(body, encoding, max_size=max_size, max_ratio=max_ratio)


@pytest.mark.parametrize(("encoding", "pack"), PACKERS, ids=IDS)
@pytest.mark.parametrize("body", [b"x", b"hello " * 50_000, bytes(range(256)) * 1000])
def test_a_compressed_body_is_decompressed(
    encoding: str, pack: Callable[[bytes], bytes], body: bytes
) -> None:
    assert undo(pack(body), encoding) == body


@pytest.mark.parametrize("encoding", ["", "identity", " Identity "])
def test_a_body_without_encoding_is_unchanged(encoding: str) -> None:
    assert undo(b"plain", encoding) == b"plain"


@pytest.mark.parametrize("encoding", ["GZIP", " gzip "])
def test_the_encoding_ignores_case_and_blanks(encoding: str) -> None:
    assert undo(gzip.compress(b"x"), encoding) == b"x"


@pytest.mark.parametrize("encoding", ["zstd", "gzip, gzip", "gzip, br", "x-gzip", "compress", "\x00"])
def test_unknown_and_multiple_encodings_are_refused(encoding: str) -> None:
    with pytest.raises(UnsupportedEncodingError):
        undo(gzip.compress(b"x"), encoding)
    assert known_encodings() == ("gzip", "deflate", "br")


@pytest.mark.parametrize(("encoding", "pack"), PACKERS, ids=IDS)
def test_a_decompression_bomb_is_refused_within_bounded_memory(
    encoding: str, pack: Callable[[bytes], bytes]
) -> None:
    bomb = pack(b"\x00" * (60 * MB))
    tracemalloc.start()
    try:
        with pytest.raises(EnvelopeError) as caught:
            undo(bomb, encoding, max_size=50 * MB, max_ratio=20)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert caught.value.reason == "bomb"
    # The allowed size, and the chunks decompressed so far.
    assert peak < 3 * max(MB, 20 * len(bomb)) + 4 * MB


@pytest.mark.parametrize(("encoding", "pack"), PACKERS, ids=IDS)
def test_a_body_above_the_size_limit_is_refused_at_any_ratio(
    encoding: str, pack: Callable[[bytes], bytes]
) -> None:
    with pytest.raises(EnvelopeError) as caught:
        undo(pack(b"ab" * MB), encoding, max_size=MB, max_ratio=10_000)
    assert caught.value.reason == "too_large"


def test_an_uncompressed_body_above_the_size_limit_is_refused() -> None:
    with pytest.raises(EnvelopeError) as caught:
        undo(b"x" * 11, "", max_size=10)
    assert caught.value.reason == "too_large"


@pytest.mark.parametrize(("encoding", "pack"), PACKERS, ids=IDS)
def test_a_body_may_decompress_to_one_megabyte_at_any_ratio(
    encoding: str, pack: Callable[[bytes], bytes]
) -> None:
    assert len(undo(pack(b"a" * MB), encoding, max_ratio=1)) == MB


@pytest.mark.parametrize(("encoding", "pack"), PACKERS, ids=IDS)
@pytest.mark.parametrize("damage", ["cut", "empty", "first byte", "more behind it", "text", "twice"])
def test_a_damaged_body_is_refused(encoding: str, pack: Callable[[bytes], bytes], damage: str) -> None:
    packed = pack(b"hello " * 100)
    body = {
        "cut": packed[: len(packed) // 2],
        "empty": b"",
        "first byte": b"\xff" + packed[1:],
        "more behind it": packed + b"more",
        "text": b'{"type":"event"}',
        "twice": packed + packed,
    }[damage]
    with pytest.raises(EnvelopeError) as caught:
        undo(body, encoding)
    assert caught.value.reason == "bad_encoding"


@given(st.binary(max_size=300), st.sampled_from(["gzip", "deflate", "br"]))
def test_arbitrary_bytes_raise_only_envelope_errors(body: bytes, encoding: str) -> None:
    with contextlib.suppress(EnvelopeError):
        undo(body, encoding)
