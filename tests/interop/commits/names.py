"""Souls, fields, values and their texts: docs/spec/commit-format.md, sections 2 and 3."""
import base64
import hashlib
import json
import math
import re

from dagcbor import Cid, Refused, cid_parts, decode, encode

ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
I64 = range(-2**63, 2**63)
# Not the whole WHATWG parser: what its serialiser can print for http and https, as far as the vectors ask.
URL = re.compile(r"\^https?://(?P<host>[a-z0-9._-]+|\[[0-9a-f:]+\])(?P<port>:[1-9][0-9]*)?/[^\x00-\x20\"<>`\x7f-\U0010ffff]*")


def base58(data):
    number, text = int.from_bytes(data, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        text = ALPHABET[digit] + text
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + text


def unbase58(text):
    number = 0
    for character in text:
        number = number * 58 + ALPHABET.index(character)
    return b"\0" * (len(text) - len(text.lstrip("1"))) + number.to_bytes((number.bit_length() + 7) // 8, "big")


def soul_of_key(key):
    return "~z" + base58(b"\xed\x01" + key)


def base32(data):
    return base64.b32encode(data).decode().rstrip("=").lower()


def unbase32(text):
    if text != text.lower() or "=" in text:
        raise ValueError(text)
    return base64.b32decode(text.upper() + "=" * (-len(text) % 8))


def cid_text(cid):
    return base58(cid) if cid_parts(bytes(cid))[0] == 0 else "b" + base32(cid)


def cid_of_text(text):
    """A CID in its one spelling; None for anything else."""
    try:
        data = unbase58(text) if len(text) == 46 and text.startswith("Qm") else unbase32(text[1:])
        cid_parts(data)
        return Cid(data) if cid_text(data) == text else None
    except (ValueError, Refused):
        return None


def certificate_cid(digest):
    return Cid(b"\x01\x71\x1e\x20" + digest)


def space(soul):
    """Space of a soul, and the key of an owned one."""
    def bad():
        raise Refused("bad_soul", soul)

    if not 1 <= len(soul.encode()) <= 512 or "\0" in soul:
        bad()
    if soul.startswith("~"):
        key, slash, rest = soul[1:].partition("/")
        try:
            data = unbase58(key[1:]) if key.startswith("z") else b""
        except ValueError:
            bad()
        if slash and not rest or len(data) != 34 or data[:2] != b"\xed\x01" or soul_of_key(data[2:]) != "~" + key:
            bad()
        return "owned", data[2:]
    if soul.startswith("#"):
        cid = cid_of_text(soul[1:])
        if cid is None or cid[:4] != b"\x01\x71\x12\x20" or len(cid) != 36:
            bad()
        return "content", None
    if soul.startswith("^"):
        found = URL.fullmatch(soul)
        default = ":80" if soul.startswith("^http:") else ":443"
        if not found or found["port"] == default:
            bad()
        return "mirror", None
    if soul.startswith("_/"):
        return ("local", None) if len(soul) > 2 else bad()
    return "public", None


def placement_key(soul):
    return soul.partition("/")[0] if soul.startswith("~") else soul


def partition(soul):
    return int.from_bytes(hashlib.sha256(placement_key(soul).encode()).digest()[:2], "big") >> 4


def name(text, most, code):
    if not isinstance(text, str):
        raise Refused("malformed", "expected a text")
    if not 1 <= len(text.encode()) <= most or "\0" in text:
        raise Refused(code, text)
    return text


def is_value(value):
    """Whether an item is a value: {"#": soul} and {"enc": bytes} are, other maps and arrays are not."""
    if isinstance(value, dict):
        if list(value) == ["#"] and isinstance(value["#"], str):
            try:
                return bool(space(value["#"]))
            except Refused:
                return False
        return list(value) == ["enc"] and type(value["enc"]) is bytes
    if isinstance(value, int) and not isinstance(value, bool):
        return value in I64
    return not isinstance(value, list)


def value_of_cbor(data):
    value = decode(data)
    if not is_value(value):
        raise Refused("bad_value")
    if len(data) > 65536:
        raise Refused("too_large")
    return value


def unbase64(text):
    data = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    if base64.b64encode(data).decode().rstrip("=") != text:
        raise ValueError(text)
    return data


def value_of_json(text):
    def bad():
        raise Refused("bad_value", text)

    def convert(parsed):
        if isinstance(parsed, list) or isinstance(parsed, float) and not math.isfinite(parsed):
            bad()
        if not isinstance(parsed, dict):
            return parsed
        if len(parsed) != 1:
            bad()
        (key, inner), = parsed.items()
        if key == "#" and isinstance(inner, str):
            return {"#": inner}
        if key == "/" and isinstance(inner, str):
            return cid_of_text(inner) or bad()
        if key == "/" and isinstance(inner, dict) and list(inner) == ["bytes"] and isinstance(inner["bytes"], str):
            try:
                return unbase64(inner["bytes"])
            except ValueError:
                bad()
        if key == "enc" and isinstance(inner, dict):
            found = convert(inner)
            return {"enc": found} if type(found) is bytes else bad()
        bad()

    value = convert(json.loads(text))
    return value if is_value(value) else bad()


def es_number(number):
    """How ECMAScript prints a double (Number::toString)."""
    number = float(number)
    if number == 0:
        return "0"
    mantissa, _, exponent = repr(abs(number)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    fraction = "" if fraction == "0" else fraction
    digits, n = (whole + fraction).lstrip("0"), len(whole) + int(exponent or 0)
    n -= len(whole + fraction) - len((whole + fraction).lstrip("0"))
    digits = digits.rstrip("0")
    k = len(digits)
    if k <= n <= 21:
        text = digits + "0" * (n - k)
    elif 0 < n <= 21:
        text = digits[:n] + "." + digits[n:]
    elif -6 < n <= 0:
        text = "0." + "0" * -n + digits
    else:
        text = digits[0] + ("." + digits[1:] if k > 1 else "") + ("e+" if n > 0 else "e-") + str(abs(n - 1))
    return ("-" if number < 0 else "") + text


def string(text):
    short = {"\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r", '"': '\\"', "\\": "\\\\"}
    return '"' + "".join(short.get(c) or (c if c >= " " else f"\\u{ord(c):04x}") for c in text) + '"'


def value_text(value, ham):
    """The JSON that is printed for a value, or its HAM text."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int) and not ham:
        return str(value)
    if isinstance(value, (int, float)):
        text = es_number(value)
        if ham:
            return text
        sign = "-" if math.copysign(1, value) < 0 and not text.startswith("-") else ""
        text = repr(value) if abs(value) >= 1e16 else text
        return sign + (text.replace("e+", "e") if "." in text or "e" in text else text + ".0")
    if isinstance(value, str):
        return string(value)
    if isinstance(value, Cid):
        return '{"/":"%s"}' % cid_text(value)
    if isinstance(value, bytes):
        return '{"/":{"bytes":"%s"}}' % base64.b64encode(value).decode().rstrip("=")
    (key, inner), = value.items()
    return '{"%s":%s}' % (key, value_text(inner, ham))


def ham_order(a, b):
    a, b = value_text(a, True).encode("utf-16-be"), value_text(b, True).encode("utf-16-be")
    return "less" if a < b else "equal" if a == b else "greater"


def content_soul(fields):
    return "#b" + base32(b"\x01\x71\x12\x20" + hashlib.sha256(encode(fields)).digest())
