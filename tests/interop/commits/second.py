#!/usr/bin/env python3
"""A second implementation of docs/spec/commit-format.md, in Python, against a running gateway.

Signs commits and forgeries from the text of the specification alone and compares what the gateway answers.

    second.py http://127.0.0.1:8480          needs the packages blake3 and pynacl
"""
import base64, json, os, struct, sys, time, urllib.error, urllib.parse, urllib.request

from blake3 import blake3
from nacl.signing import SigningKey

API = sys.argv[1].rstrip("/")
CHECKS = 0


class Cid(bytes):
    """The binary form of a CID, encoded as tag 42."""


def head(major, number):
    for width, (code, limit) in {0: (None, 24), 1: (24, 1 << 8), 2: (25, 1 << 16), 4: (26, 1 << 32), 8: (27, 1 << 64)}.items():
        if number < limit:
            return bytes([major << 5 | (number if code is None else code)]) + (number.to_bytes(width, "big") if width else b"")
    raise ValueError(number)


def cbor(value):
    """Strict DAG-CBOR."""
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
        return head(4, len(value)) + b"".join(map(cbor, value))
    keys = sorted(value, key=lambda key: (len(key.encode()), key.encode()))
    return head(5, len(value)) + b"".join(cbor(key) + cbor(value[key]) for key in keys)


def leaf(index, op):
    body = {key: part for key, part in op.items() if key != "r"}
    if "v" in op:
        body["v"] = blake3(op["r"] + cbor(op["v"])).digest()
    return blake3(b"\0" + index.to_bytes(2, "big") + cbor(body)).digest()


def root(leaves):
    if len(leaves) == 1:
        return leaves[0]
    pairs = [blake3(b"\1" + leaves[at] + leaves[at + 1]).digest() for at in range(0, len(leaves) - 1, 2)]
    return root(pairs + ([leaves[-1]] if len(leaves) % 2 else []))


def base58(data):
    alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
    number, text = int.from_bytes(data, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        text = alphabet[digit] + text
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + text


class Author:
    def __init__(self):
        self.key = SigningKey.generate()
        self.public = bytes(self.key.verify_key)
        self.session, self.seq, self.prev = os.urandom(8), 0, None
        self.soul = "~z" + base58(b"\xed\x01" + self.public)
        self.writer = blake3(self.public + bytes(32)).digest()[:16]

    def op(self, soul, field, kind, value=None, kills=None):
        op = {"s": soul, "f": field, "k": kind}
        if kind in ("register", "null"):
            op["t"] = self.writer if soul.startswith("~") else b""
        if kind == "counter":
            op["t"] = (self.writer if soul.startswith("~") else self.public) + self.session
        if value is not None or kind == "null":
            op["v"], op["r"] = value, os.urandom(16)
        if kills:
            op["x"] = sorted(kills)
        return op

    def commit(self, ops, stamp=None, net=None, **header):
        stamp = stamp or int(time.time() * 1000) * 4096
        header = {
            "v": 1, "net": net or NET, "author": self.public, "session": self.session, "seq": self.seq, "prev": self.prev,
            "stamp": stamp, "n": len(ops), "root": root([leaf(at, op) for at, op in enumerate(ops)]), "auth": [], **header,
        }
        signed = cbor(header)
        commit_id = blake3(b"rustdht/commit/1" + signed).digest()
        envelope = {"h": signed, "g": self.key.sign(commit_id).signature, "ops": [[at, op] for at, op in enumerate(ops)]}
        return commit_id, envelope

    def sent(self, commit_id):
        self.seq, self.prev = self.seq + 1, commit_id


def entry_id(commit_id, index):
    return blake3(b"rustdht/entry/1" + commit_id + index.to_bytes(2, "big")).digest()


def call(method, path, body=None, kind="application/vnd.rustdht.commit+cbor"):
    request = urllib.request.Request(API + path, data=body, method=method, headers={"content-type": kind} if body else {})
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def post(envelope):
    return call("POST", "/api/v1/commits", envelope if isinstance(envelope, bytes) else cbor(envelope))


def check(what, got, wanted):
    global CHECKS
    CHECKS += 1
    if got != wanted:
        sys.exit(f"{what}: wanted {wanted}, got {got}")


def refused(what, envelope, status, code):
    got, answer = post(envelope)
    check(what, (got, answer.get("code")), (status, code))


def taken(author, ops):
    commit_id, envelope = author.commit(ops)
    status, answer = post(envelope)
    check("a commit is taken", (status in (200, 202), [part.get("result") for part in answer.get("results", [])]), (True, ["taken"] * len(ops)))
    check("its id", answer["commit"], commit_id.hex())
    check("its entries", [part["id"] for part in answer["results"]], [entry_id(commit_id, at).hex() for at in range(len(ops))])
    author.sent(commit_id)
    return commit_id, envelope


def data(soul):
    status, answer = call("GET", "/api/v1/nodes/" + urllib.parse.quote(soul, safe=""))
    return answer["data"] if status == 200 else None


NET = bytes.fromhex(call("GET", "/api/v1/status")[1]["network"]["id"])
ada, eve = Author(), Author()
node = "interop/" + ada.soul[-8:]

values = {"text": "grüße \U0001f600 \u0000", "int": -7, "big": 2**62, "float": 5.0, "yes": True, "link": {"#": "other"}, "raw": b"\1\2"}
first, envelope = taken(ada, [ada.op(node, field, "register", value) for field, value in values.items()])
check("values", data(node), {**values, "raw": {"/": {"bytes": base64.b64encode(b"\1\2").decode().rstrip("=")}}})
check("a replay", [part["result"] for part in post(envelope)[1]["results"]], ["known"] * len(values))

adds, _ = taken(ada, [ada.op(node, "set", "set", element) for element in (3, "a", 1)])
check("a set", data(node)["set"], {"@set": ["a", 1, 3]})
taken(eve, [eve.op(node, "set", "set", kills=[entry_id(adds, 2)])])
check("a removal", data(node)["set"], {"@set": ["a", 3]})
taken(ada, [ada.op(node, "int", "null")])
check("a delete", "int" in data(node), False)
taken(ada, [ada.op(ada.soul + "/profile", "name", "register", "Ada"), ada.op(ada.soul + "/profile", "visits", "counter", 3)])
check("an owned soul", data(ada.soul + "/profile")["name"], "Ada")
taken(ada, [ada.op(node, "future", "hologram", b"\0\1")])
check("a kind of the future", data(node)["future"], {"@opaque": {"kind": "hologram", "entries": 1}})
taken(ada, [ada.op(node, f"many-{at}", "register", at) for at in range(1000)])

before = data(node)
op = lambda author=ada, soul=node, field="x", kind="register", value="v", **more: {**author.op(soul, field, kind, value), **more}
signed = lambda *ops, **header: ada.commit(list(ops), **header)[1]
refused("another's soul", eve.commit([eve.op(ada.soul + "/profile", "name", "register", "Eve")])[1], 403, "not_authorised")
refused("a local soul", signed(op(soul="_/x")), 403, "local_space")
refused("a content soul", signed(op(soul="#bafyreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy")), 422, "immutable")
refused("a mirror soul", signed(op(soul="^https://example.com/")), 403, "not_authorised")
refused("a soul that is none", signed(op(soul="~z123")), 422, "bad_soul")
refused("an empty field", signed(op(field="")), 422, "bad_field")
refused("a long kind", signed(op(kind="k" * 33)), 422, "bad_kind")
refused("a foreign slot", signed(op(t=b"x")), 422, "bad_slot")
refused("a null register", signed({**op(), "v": None}), 422, "bad_value")
refused("an array", signed({**op(), "v": [1]}), 422, "bad_value")
refused("a value of 64 KiB and more", signed(op(value="y" * 65536)), 413, "too_large")
refused("one slot twice", signed(op(), op(value="w")), 422, "duplicate_operation")
refused("another network", signed(op(), net=bytes(32)), 422, "wrong_network")
refused("two days ahead", signed(op(), stamp=int(time.time() * 1000 + 48 * 3600e3) * 4096), 422, "too_early")
refused("a certificate nobody has", signed(op(), auth=[Cid(bytes.fromhex("01711e20") + bytes(32))]), 403, "certificate_missing")
refused("another root", signed(op(), root=bytes(32)), 422, "bad_root")
refused("a small-order key", signed(op(), author=b"\1" + bytes(31)), 422, "bad_key")
refused("prev without seq", signed(op(), seq=0, prev=bytes(32)), 400, "malformed")
refused("another version", signed(op(), v=2), 400, "malformed")
forged = signed(op())
refused("a signature of something else", {**forged, "g": bytes(64)}, 422, "bad_signature")
refused("an altered value", {**forged, "ops": [[0, {**forged["ops"][0][1], "v": "w"}]]}, 422, "bad_root")
refused("an unknown key", {**forged, "z": 1}, 400, "malformed")
refused("leaves at a door", {**forged, "leaves": [bytes(32)]}, 400, "malformed")
refused("an operation left out", {**signed(op(), op(field="y")), "ops": forged["ops"]}, 422, "bad_root")
refused("bytes behind", cbor(forged) + b"\0", 400, "malformed")
refused("a float of half width", cbor(forged).replace(cbor("v"), b"\xf9\x3c\x00", 1), 400, "malformed")
refused("a megabyte", bytes(1 << 20) + b"\0", 413, "too_large")
check("nothing changed", data(node), before)
print(f"{CHECKS} checks passed")
