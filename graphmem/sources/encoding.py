"""How the bytes of a text file stand for characters: told by its marks, by its bytes, or asked."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain

from graphmem.errors import DataError

SAMPLE = 1 << 17
"""Bytes that a detector looks at."""

# A mark of four bytes begins like one of two: longest first.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SEVEN_BITS = re.compile(rb"\x1b\$[@BA]|\x1b\$\([@BCD]|\x1b\$\)[ACG]|\x1b\([JI]")  # ISO 2022
_CONTROLS = bytes(set(range(32)) - set(b"\t\n\f\r\x1b\b\a\0")) + b"\x7f"
_TEXT_SHARE = 0.02  # of control characters, at most, in what is text
_NUL_SHARE = 0.2
# Least confidence of chardet in an encoding of the web, and in one of older machines. They are
# small numbers, since it spreads them over all that it knows: right ones of short
# texts of one code page for a letter begin at 0.02, those of East Asia at 0.3.
_LEAST_WEB, _LEAST_EASTERN, _LEAST_OLD = 0.01, 0.2, 0.3
_NEAR = 0.75  # what the usual code page needs of the best one's confidence to go before it
_USUAL = "Windows-1252"
_MOST_PAGES = 6  # of 256 characters, that a text of letters takes its characters from
_EASTERN_CODECS = frozenset({"cp932", "shift_jis", "euc_jp", "big5", "gb18030", "cp949"})
_SUPERSETS = {"iso8859-1": "cp1252", "iso8859-9": "cp1254", "gb2312": "gb18030", "euc_kr": "cp949"}
# What nearly all of a text of East Asia is made of, and what every such text has some of: spaces,
# stops and syllables, line ends.
_EASTERN = re.compile("[\u3000-\u30ff\u4e00-\u9fff\uac00-\ud7a3\uff00-\uff65 -~\n]")
_USUAL_THERE = re.compile("[\u3000-\u30ff\uff00-\uff65 \n]")


@dataclass(frozen=True, slots=True)
class Encoding:
    """A codec of Python, and whether it was found by likeness alone."""

    codec: str
    guessed: bool = False


def codec_name(name: str) -> str:
    """Python's name of an encoding.

    Raises:
        DataError: There is no such encoding of texts.

    >>> codec_name("Windows-1252")
    'cp1252'
    """
    try:
        info = codecs.lookup(name)
        b"".decode(name)  # codecs that are no encodings of texts raise here
    except (LookupError, ValueError) as error:
        raise DataError(f"no encoding {name!r}; expected one like cp1252 or utf-16-le") from error
    return info.name


def find_encoding(chunks: Iterable[bytes], path: str) -> Encoding:
    r"""The encoding of a file's bytes, which are all read once and not kept.

    A byte order mark counts before all; then UTF-16 and UTF-32 by their NULs, UTF-8 where all
    bytes are valid, encodings of seven bits by their escapes, and others as chardet finds them in
    the first bytes, where it is sure enough.

    Raises:
        DataError: No encoding is likely enough, or this is no text.

    >>> find_encoding([b"Ada"], "a.txt").codec
    'utf-8'
    >>> find_encoding(["Čapek wrote it.".encode("utf-16-le")], "a.txt").codec
    'utf-16-le'
    """
    rest = iter(chunks)
    head = b""
    for chunk in rest:
        head += chunk
        if len(head) >= SAMPLE:
            break
    for mark, codec in _MARKS:
        if head.startswith(mark):
            return Encoding(codec)
    sample = head[:SAMPLE]
    if b"\0" in sample and sample.count(0) > _NUL_SHARE * len(sample) and (wide := _wide(sample)):
        return Encoding(wide)
    if _looks_binary(sample):
        if wide := _wide(sample):
            return Encoding(wide)
        raise not_text(path)
    if _SEVEN_BITS.search(sample):
        reason = "expected UTF-8, found the escapes of another encoding"
        return _detected(sample, path, reason, None)
    fault = _first_fault(chain([head], rest))
    if fault is None:
        return Encoding("utf-8")
    line, byte, around = fault
    reason = f"expected UTF-8, found the byte 0x{byte:02x}"
    return _detected(around or sample, path, reason, line)


def not_text(path: str) -> DataError:
    """What to raise for a file of bytes that are no text."""
    return DataError("not a text: it holds binary data", path)


def _looks_binary(sample: bytes) -> bool:
    nuls = sample.count(0)
    controls = len(sample) - len(sample.translate(None, _CONTROLS))
    return controls > _TEXT_SHARE * len(sample) or nuls > _NUL_SHARE * len(sample) + 2


def _first_fault(chunks: Iterable[bytes]) -> tuple[int, int, bytes] | None:
    """Line and value of the first byte that is no UTF-8, and the bytes around it; None if none."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    line = 1
    try:
        for chunk in chunks:
            decoder.decode(chunk)
            line += chunk.count(b"\n")
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        data, at = error.object, error.start
        line += data[:at].count(b"\n")
        start = max(0, at - SAMPLE // 2)
        return line, data[at], bytes(data[start : start + SAMPLE])
    return None


def _wide(sample: bytes) -> str:
    """Which UTF-16 or UTF-32 without a mark the sample is, "" where it is none."""
    import chardet

    found = chardet.detect(sample)["encoding"] or ""
    if found.lower().startswith(("utf-16", "utf-32")):
        text = sample.decode(found, "ignore")
        if len({ord(char) >> 8 for char in text}) <= _MOST_PAGES:
            return codec_name(found)
    return _eastern(sample)


def _eastern(sample: bytes) -> str:
    """UTF-16 of a script whose letters have no NUL, where nearly all are letters of texts."""
    if len(sample) < 32 or (len(sample) % 2 and len(sample) < SAMPLE):
        return ""
    for codec in ("utf-16-le", "utf-16-be"):
        try:
            text = sample[: len(sample) // 2 * 2].decode(codec)
        except UnicodeDecodeError:
            continue
        fitting, usual = len(_EASTERN.findall(text)), len(_USUAL_THERE.findall(text))
        if fitting >= 0.98 * len(text) and usual >= 0.05 * len(text):
            return codec
    return ""


def _detected(sample: bytes, path: str, fault: str, line: int | None) -> Encoding:
    import chardet
    from chardet import EncodingEra

    eras = EncodingEra.MODERN_WEB | EncodingEra.LEGACY_ISO
    web, old = chardet.detect_all(sample, encoding_era=eras), chardet.detect_all(sample)
    best = next((found for found in web if found["encoding"] == _USUAL), web[0])
    if best["confidence"] < _NEAR * web[0]["confidence"]:
        best = web[0]
    if old[0]["confidence"] >= max(_LEAST_OLD, 2 * best["confidence"]):
        best = old[0]
    if best["encoding"] is None:
        raise not_text(path)
    codec = codec_name(best["encoding"])
    codec = _SUPERSETS.get(codec, codec)
    least = _LEAST_EASTERN if codec in _EASTERN_CODECS else _LEAST_WEB
    if best["confidence"] >= least and _decodes(sample, codec):
        return Encoding(codec, guessed=True)
    raise DataError(f"{fault}, and no other encoding is likely enough", path, line)


def _decodes(sample: bytes, name: str) -> bool:
    """Whether the sample has no control characters in this encoding; its last one may be cut."""
    try:
        text = codecs.getincrementaldecoder(name)().decode(sample)
    except UnicodeDecodeError:
        return False
    return not any("\x80" <= char < "\xa0" for char in text)
