#!/usr/bin/env python3
"""Signs one commit that writes a field of an owned node, and posts it to a gateway (docs/spec/commit-format.md).

    pip install blake3 pynacl
    sign_commit.py http://127.0.0.1:8480 name "Ada Lovelace"          (RUSTDHT_TOKEN: a token, if the gateway asks for one)
"""
import json, os, sys, time, urllib.error, urllib.request
from blake3 import blake3
from nacl.signing import SigningKey

api, field, value = sys.argv[1].rstrip("/"), sys.argv[2], sys.argv[3]
headers = {"authorization": "Bearer " + os.environ["RUSTDHT_TOKEN"]} if "RUSTDHT_TOKEN" in os.environ else {}


def head(major, number):
    for code, width in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if number < 24:
            return bytes([major << 5 | number])
        if number < 1 << 8 * width:
            return bytes([major << 5 | code]) + number.to_bytes(width, "big")


def cbor(it):
    """Strict DAG-CBOR of the types that are needed here."""
    if it is None or isinstance(it, int):
        return b"\xf6" if it is None else head(0, it)
    if isinstance(it, bytes):
        return head(2, len(it)) + it
    if isinstance(it, str):
        return head(3, len(it.encode())) + it.encode()
    if isinstance(it, list):
        return head(4, len(it)) + b"".join(map(cbor, it))
    return head(5, len(it)) + b"".join(cbor(key) + cbor(it[key]) for key in sorted(it, key=lambda key: (len(key), key)))


def base58(data):
    alphabet, number, text = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz", int.from_bytes(data, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        text = alphabet[digit] + text
    return text


status = json.load(urllib.request.urlopen(api + "/api/v1/status"))
key = SigningKey.generate()
author = bytes(key.verify_key)
soul = "~z" + base58(b"\xed\x01" + author)
slot = blake3(author + bytes(32)).digest()[:16]  # h: the author under no certificate
op = {"s": soul, "f": field, "k": "register", "t": slot, "v": value, "r": os.urandom(16)}
hashed = {name: part for name, part in op.items() if name != "r"} | {"v": blake3(op["r"] + cbor(value)).digest()}
leaf = blake3(b"\0" + (0).to_bytes(2, "big") + cbor(hashed)).digest()  # of one leaf, the leaf is the root
header = cbor({"v": 1, "net": bytes.fromhex(status["network"]["id"]), "author": author, "session": os.urandom(8), "seq": 0,
               "prev": None, "stamp": int(time.time() * 1000) * 4096, "n": 1, "root": leaf, "auth": []})
signature = key.sign(blake3(b"rustdht/commit/1" + header).digest()).signature
envelope = cbor({"h": header, "g": signature, "ops": [[0, op]]})
request = urllib.request.Request(api + "/api/v1/commits", envelope, headers | {"content-type": "application/vnd.rustdht.commit+cbor"})
try:
    print(soul, urllib.request.urlopen(request).read().decode())
except urllib.error.HTTPError as error:
    sys.exit(error.read().decode())
