"""CARv1 and the text of CIDs, as far as fixtures need them (CARv1 specification; CIDs in base32 and base58btc)."""

import base64

BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
BASE36 = "0123456789abcdefghijklmnopqrstuvwxyz"


def varint(number):
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes(out + bytes([number]))


def read_varint(data, at):
    number = shift = 0
    while True:
        byte = data[at]
        at += 1
        number |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return number, at


def base_x(data, alphabet):
    """Base 58 and base 36: the bytes as one number; a leading zero byte is a leading zero digit."""
    number, text = int.from_bytes(data, "big"), ""
    while number:
        number, digit = divmod(number, len(alphabet))
        text = alphabet[digit] + text
    return alphabet[0] * (len(data) - len(data.lstrip(b"\0"))) + text


def from_base58(text):
    number = 0
    for char in text:
        number = number * 58 + BASE58.index(char)
    length = (number.bit_length() + 7) // 8
    return b"\0" * (len(text) - len(text.lstrip("1"))) + number.to_bytes(length, "big")


def from_base36(text):
    number = int(text, 36)
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def cid_bytes(text):
    if text.startswith("Qm"):
        return from_base58(text)
    if text[0] == "k":
        return from_base36(text[1:])
    body = text[1:].upper()
    return base64.b32decode(body + "=" * (-len(body) % 8))


def cid_text(data):
    """A CID of version 1 in base32."""
    return "b" + base64.b32encode(data).decode().rstrip("=").lower()


def v1(cid, codec=None):
    """The parts of a CID, as (codec, multihash)."""
    data = cid_bytes(cid)
    if cid.startswith("Qm"):
        return (0x70 if codec is None else codec), data
    _, at = read_varint(data, 0)
    own, at = read_varint(data, at)
    return (own if codec is None else codec), data[at:]


def in_base36(cid, codec=None):
    own, multihash = v1(cid, codec)
    return "k" + base_x(b"\x01" + varint(own) + multihash, BASE36)


def in_base32(cid, codec=None):
    own, multihash = v1(cid, codec)
    return cid_text(b"\x01" + varint(own) + multihash)


def identity(data, codec=0x55):
    """The CID that holds its own bytes."""
    return cid_text(b"\x01" + varint(codec) + b"\0" + varint(len(data)) + data)


def _head(root):
    # {"roots": [42(h'00' + CID)], "version": 1} in DAG-CBOR.
    link = b"\0" + root
    length = bytes([0x40 | len(link)]) if len(link) < 24 else bytes([0x58, len(link)])
    return b"\xa2\x65roots\x81\xd8\x2a" + length + link + b"\x67version\x01"


def write(path, root, blocks):
    """`root` and the keys of `blocks` as bytes."""
    head = _head(root)
    with open(path, "wb") as out:
        out.write(varint(len(head)) + head)
        for cid, data in blocks:
            out.write(varint(len(cid) + len(data)) + cid + data)


def read(data):
    """The blocks of a CARv1, in order, as (CID, bytes)."""
    length, at = read_varint(data, 0)
    at += length
    blocks = []
    while at < len(data):
        length, at = read_varint(data, at)
        end, start = at + length, at
        if data[at] == 0x12 and data[at + 1] == 0x20:
            at += 34
        else:
            for _ in range(3):
                _, at = read_varint(data, at)
            size, at = read_varint(data, at)
            at += size
        if end > len(data) or at > end:
            raise ValueError("a section of the CAR is cut off")
        blocks.append((data[start:at], data[at:end]))
        at = end
    return blocks
