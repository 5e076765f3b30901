"""Strict DAG-CBOR, from the text of docs/spec/commit-format.md, section 1."""
import math
import struct


class Refused(Exception):
    """A refusal; its first argument is the code."""

    def __init__(self, code, why=""):
        super().__init__(code, why)
        self.code = code


class Cid(bytes):
    """The binary form of a CID, encoded as tag 42."""


def head(major, number):
    for code, limit, width in ((None, 24, 0), (24, 1 << 8, 1), (25, 1 << 16, 2), (26, 1 << 32, 4), (27, 1 << 64, 8)):
        if number < limit:
            return bytes([major << 5 | (number if code is None else code)]) + (number.to_bytes(width, "big") if width else b"")
    raise ValueError(number)


def order(key):
    return len(key.encode()), key.encode()


def encode(value):
    if value is None:
        return b"\xf6"
    if value is True or value is False:
        return b"\xf5" if value else b"\xf4"
    if isinstance(value, int):
        return head(0, value) if value >= 0 else head(1, -1 - value)
    if isinstance(value, float):
        return b"\xfb" + struct.pack(">d", value)
    if isinstance(value, Cid):
        return head(6, 42) + head(2, len(value) + 1) + b"\0" + bytes(value)
    if isinstance(value, bytes):
        return head(2, len(value)) + value
    if isinstance(value, str):
        return head(3, len(value.encode())) + value.encode()
    if isinstance(value, list):
        return head(4, len(value)) + b"".join(map(encode, value))
    return head(5, len(value)) + b"".join(encode(key) + encode(value[key]) for key in sorted(value, key=order))


def bad(why):
    raise Refused("malformed", why)


def varint(data, at):
    number, shift = 0, 0
    while True:
        if at >= len(data) or shift > 63:
            bad("a varint that does not end")
        byte = data[at]
        number, shift, at = number | (byte & 127) << shift, shift + 7, at + 1
        if byte < 128:
            if byte == 0 and shift > 7:
                bad("a varint that is not in its shortest form")
            return number, at


def cid_parts(data):
    """Version, codec, hash function and digest of a binary CID."""
    if len(data) == 34 and data[:2] == b"\x12\x20":
        return 0, 0x70, 0x12, data[2:]
    version, at = varint(data, 0)
    codec, at = varint(data, at)
    function, at = varint(data, at)
    length, at = varint(data, at)
    if version != 1 or length != len(data) - at or length > 64:
        bad("no CID")
    return version, codec, function, data[at:]


def decode(data):
    """One item, and nothing behind it; anything that encode would not write is malformed."""
    value, at = _item(data, 0, 0)
    if at != len(data):
        bad("bytes behind the item")
    return value


def _take(data, at, length):
    if at + length > len(data):
        bad("the input ends inside an item")
    return data[at:at + length], at + length


def _argument(data, at, low):
    if low < 24:
        return low, at
    if low > 27:
        bad("an indefinite or reserved length")
    width = 1 << low - 24
    raw, at = _take(data, at, width)
    number = int.from_bytes(raw, "big")
    if number < (24 if width == 1 else 1 << 4 * width):
        bad("not in its shortest form")
    return number, at


def _text(raw):
    try:
        return raw.decode()
    except UnicodeDecodeError:
        bad("a text that is not UTF-8")


def _item(data, at, depth):
    first, at = _take(data, at, 1)
    major, low = first[0] >> 5, first[0] & 31
    if major == 7:
        if low in (20, 21, 22):
            return {20: False, 21: True, 22: None}[low], at
        if low != 27:
            bad("a simple value that DAG-CBOR does not have")
        raw, at = _take(data, at, 8)
        number = struct.unpack(">d", raw)[0]
        if not math.isfinite(number):
            bad("a float that is not finite")
        return number, at
    number, at = _argument(data, at, low)
    if major == 0:
        return number, at
    if major == 1:
        return -1 - number, at
    if major in (2, 3):
        raw, at = _take(data, at, number)
        return (raw if major == 2 else _text(raw)), at
    if major == 6:
        if number != 42:
            bad("a tag other than 42")
        raw, at = _item(data, at, depth)
        if type(raw) is not bytes or raw[:1] != b"\0":
            bad("tag 42 holds a byte string that begins with 00")
        cid_parts(raw[1:])
        return Cid(raw[1:]), at
    if depth >= 8:
        bad("nested deeper than 8")
    if number > len(data) - at:
        bad("a length beyond the input")
    if major == 4:
        items = []
        for _ in range(number):
            item, at = _item(data, at, depth + 1)
            items.append(item)
        return items, at
    entries, last = {}, None
    for _ in range(number):
        key, at = _item(data, at, depth + 1)
        if not isinstance(key, str):
            bad("a map key that is not text")
        if last is not None and order(last) >= order(key):
            bad("map keys out of order or repeated")
        entries[key], at = _item(data, at, depth + 1)
        last = key
    return entries, at
