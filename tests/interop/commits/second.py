#!/usr/bin/env python3
"""A second implementation of docs/spec, in Python.

Signs commits and forgeries from the text of the specification alone and compares what a running gateway answers, or
checks the vectors of the specification without one.

    second.py http://127.0.0.1:8480                 needs the packages blake3 and pynacl
    second.py --vectors docs/spec/vectors
"""
import base64, json, os, sys, time, urllib.error, urllib.parse, urllib.request

from nacl.signing import SigningKey

import judge, vectors
from dagcbor import Cid, encode
from names import certificate_cid, content_soul, soul_of_key

CHECKS = 0


class Author:
    def __init__(self):
        self.key = SigningKey.generate()
        self.public = bytes(self.key.verify_key)
        self.session, self.seq, self.prev = os.urandom(8), 0, None
        self.soul = soul_of_key(self.public)
        self.leaves = []

    def op(self, soul, field, kind, value=None, kills=None):
        op = {"s": soul, "f": field, "k": kind}
        owned = soul.startswith("~")
        under = None if soul.split("/")[0] == self.soul else next((it["id"] for it in self.leaves if judge.covers(it, soul, field)), None)
        h = judge.writer(self.public, under)
        if kind in ("register", "null"):
            op["t"] = h if owned else b""
        if kind in judge.TOTALS:
            op["t"] = (h if owned else self.public) + self.session
        if value is not None or kind == "null":
            op["v"], op["r"] = value, os.urandom(16)
        if kills:
            op["x"] = sorted(kills)
        return op

    def certificate(self, audience, parent=None, space=None, **parts):
        """A certificate on all of the space, for as long as its parent, or an hour around now."""
        now, space = int(time.time() * 1000), space or self.soul
        times = parent or {"not_before": (now - 3600_000) * 4096, "not_after": (now + 3600_000) * 4096}
        it = {
            "v": 1, "net": NET, "nonce": os.urandom(16), "space": space, "fields": [], "issuer": self.public,
            "parent": None if parent is None else certificate_cid(parent["id"]), "rights": ["write"], "audience": audience.public,
            "prefixes": [space], "not_before": times["not_before"], "not_after": times["not_after"], **parts,
        }
        body = encode(it)
        signature = self.key.sign(judge.digest(b"rustdht/cert/1", body)).signature
        return {**it, "id": judge.digest(body), "bytes": body, "signature": signature}

    def commit(self, ops, stamp=None, net=None, along=(), **header):
        stamp = stamp or int(time.time() * 1000) * 4096
        header = {
            "v": 1, "net": net or NET, "author": self.public, "session": self.session, "seq": self.seq, "prev": self.prev,
            "stamp": stamp, "n": len(ops), "root": judge.root([judge.leaf(at, op) for at, op in enumerate(ops)]),
            "auth": [certificate_cid(it["id"]) for it in self.leaves], **header,
        }
        signed = encode(header)
        commit_id = judge.digest(b"rustdht/commit/1", signed)
        envelope = {"h": signed, "g": self.key.sign(commit_id).signature, "ops": [[at, op] for at, op in enumerate(ops)]}
        if along:
            envelope["c"] = [[it["bytes"], it["signature"]] for it in along]
        return commit_id, envelope

    def sent(self, commit_id):
        self.seq, self.prev = self.seq + 1, commit_id


def content(fields):
    """The one commit of a content node."""
    soul = content_soul(fields)
    ops = [{"s": soul, "f": field, "k": "register", "t": b"", "v": fields[field]} for field in sorted(fields, key=lambda key: (len(key.encode()), key.encode()))]
    header = {
        "v": 1, "net": NET, "author": bytes(32), "session": bytes(8), "seq": 0, "prev": None, "stamp": 0, "n": len(ops),
        "root": judge.root([judge.leaf(at, op) for at, op in enumerate(ops)]), "auth": [],
    }
    return soul, {"h": encode(header), "ops": [[at, op] for at, op in enumerate(ops)]}


def entry_id(commit_id, index):
    return judge.digest(b"rustdht/entry/1", commit_id, index.to_bytes(2, "big"))


def call(method, path, body=None, kind="application/vnd.rustdht.commit+cbor"):
    request = urllib.request.Request(API + path, data=body, method=method, headers={"content-type": kind} if body else {})
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def post(envelope):
    return call("POST", "/api/v1/commits", envelope if isinstance(envelope, bytes) else encode(envelope))


def check(what, got, wanted):
    global CHECKS
    CHECKS += 1
    if got != wanted:
        sys.exit(f"{what}: wanted {wanted}, got {got}")


def refused(what, envelope, status, code):
    got, answer = post(envelope)
    check(what, (got, answer.get("code")), (status, code))
    if not isinstance(envelope, bytes):
        # What this implementation says of it, knowing nothing.
        found = vectors.code_of(lambda: judge.check(encode(envelope), "door", RULES | {"now_ms": int(time.time() * 1000)}))
        check(f"{what}, judged here", found, code)


def taken(author, ops, along=()):
    commit_id, envelope = author.commit(ops, along=along)
    status, answer = post(envelope)
    check("a commit is taken", (status in (200, 202), [part.get("result") for part in answer.get("results", [])]), (True, ["taken"] * len(ops)))
    check("its id", answer["commit"], commit_id.hex())
    check("its entries", [part["id"] for part in answer["results"]], [entry_id(commit_id, at).hex() for at in range(len(ops))])
    author.sent(commit_id)
    return commit_id, envelope


def data(soul):
    status, answer = call("GET", "/api/v1/nodes/" + urllib.parse.quote(soul, safe=""))
    return answer["data"] if status == 200 else None


def writes(ada, eve, node):
    values = {"text": "grüße \U0001f600 \u0000", "int": -7, "big": 2**62, "float": 5.0, "yes": True, "link": {"#": "other"}, "raw": b"\1\2"}
    _, envelope = taken(ada, [ada.op(node, field, "register", value) for field, value in values.items()])
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
    kinds = [ada.op(node, kind, kind, value) for kind, value in
             {"counter": 4, "max": 2.5, "min": -3, "flag": True, "text": b"\0\0", "list": b"\0\0", "map": b"\0\0"}.items()]
    commit_id, _ = taken(ada, kinds)
    check("a counter, a max, a min, a flag", [data(node)[kind] for kind in ("counter", "max", "min", "flag")],
          [{"@counter": "4"}, {"@max": 2.5}, {"@min": -3}, {"@flag": True}])
    taken(ada, [ada.op(node, "flag", "kill", kills=[entry_id(commit_id, 3)]), ada.op(node, "counter", "kill", "erase")])
    check("a flag that is off", "flag" in data(node), False)
    taken(ada, [ada.op(node, f"many-{at}", "register", at) for at in range(1000)])


def forgeries(ada, eve, node):
    before = data(node)
    op = lambda author=ada, soul=node, field="x", kind="register", value="v", **more: {**author.op(soul, field, kind, value), **more}
    signed = lambda *ops, **header: ada.commit(list(ops), **header)[1]
    mirror = ada.op("^https://example.com/", "x", "set", "v")
    refused("another's soul", eve.commit([eve.op(ada.soul + "/profile", "name", "register", "Eve")])[1], 403, "not_authorised")
    refused("a local soul", signed(op(soul="_/x")), 403, "local_space")
    refused("a signed content soul", signed(op(soul="#bafyreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy")), 422, "immutable")
    refused("a mirror soul", signed(mirror), 403, "not_authorised")
    refused("a soul that is none", signed(op(soul="~z123")), 422, "bad_soul")
    refused("an empty field", signed(op(field="")), 422, "bad_field")
    refused("a long kind", signed(op(kind="k" * 33)), 422, "bad_kind")
    refused("a foreign slot", signed(op(t=b"x")), 422, "bad_slot")
    refused("a counter in another's slot", signed(op(kind="counter", value=1, t=eve.public + ada.session)), 422, "bad_slot")
    refused("a null register", signed({**op(), "v": None}), 422, "bad_value")
    refused("null in a set", signed({**op(kind="set"), "v": None}), 422, "bad_value")
    refused("an array", signed({**op(), "v": [1]}), 422, "bad_value")
    refused("a value of 64 KiB and more", signed(op(value="y" * 65536)), 413, "too_large")
    refused("one slot twice", signed(op(), op(value="w")), 422, "duplicate_operation")
    refused("another network", signed(op(), net=bytes(32)), 422, "wrong_network")
    refused("two days ahead", signed(op(), stamp=int(time.time() * 1000 + 48 * 3600e3) * 4096), 422, "too_early")
    refused("a certificate nobody has", signed(op(), auth=[certificate_cid(bytes(32))]), 403, "certificate_missing")
    refused("a CID that is no certificate's", signed(op(), auth=[Cid(bytes.fromhex("01711220") + bytes(32))]), 400, "malformed")
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
    refused("bytes behind", encode(forged) + b"\0", 400, "malformed")
    refused("a float of half width", encode(forged).replace(encode("v"), b"\xf9\x3c\x00", 1), 400, "malformed")
    refused("a megabyte", bytes(1 << 20) + b"\0", 413, "too_large")
    check("nothing changed", data(node), before)


def delegation(ada, eve):
    """Ada lets Bob delegate her blog, and Bob lets Eve write it."""
    bob, blog = Author(), ada.soul + "/blog"
    root = ada.certificate(bob, rights=["delegate", "write"], prefixes=[blog])
    leaf = bob.certificate(eve, root, ada.soul, prefixes=[blog + "/eve"])
    write = lambda soul, *leaves, **more: (setattr(eve, "leaves", list(leaves)), eve.commit([eve.op(soul, "title", "register", "Eve")], along=leaves + (root,), **more)[1])[1]
    mine = blog + "/eve/1"
    refused("outside the prefix", write(blog + "/evelyn", leaf), 403, "not_authorised")
    refused("after the certificate", write(mine, bob.certificate(eve, root, ada.soul, prefixes=[blog], not_after=root["not_before"] + 1)), 403, "certificate_expired")
    refused("a wider prefix", write(mine, bob.certificate(eve, root, ada.soul)), 403, "not_authorised")
    refused("a right that Bob has not", write(mine, bob.certificate(eve, root, ada.soul, prefixes=[blog], rights=["endorse", "write"])), 403, "not_authorised")
    refused("longer than Bob's", write(mine, bob.certificate(eve, root, ada.soul, prefixes=[blog], not_after=root["not_after"] + 1)), 403, "not_authorised")
    refused("another's certificate", write(mine, bob.certificate(ada, root, ada.soul, prefixes=[blog])), 403, "not_authorised")
    refused("her own certificate", write(mine, eve.certificate(eve, None, ada.soul)), 403, "not_authorised")
    forged = {**leaf, "signature": bytes(64)}
    refused("a forged certificate", write(mine, forged), 422, "bad_signature")
    eve.leaves = [leaf]
    taken(eve, [eve.op(mine, "title", "register", "Eve's"), eve.op(mine, "likes", "counter", 1)], along=(leaf, root))
    check("a delegated write", data(mine)["title"], "Eve's")
    # The gateway knows the chain from now on.
    taken(eve, [eve.op(mine, "title", "register", "Eve's own")])
    check("another", data(mine)["title"], "Eve's own")
    eve.leaves = []


def contents():
    fields = {"name": "content", "a": 1, "bb": 2.5, "link": {"#": "people/ada"}, "mark": os.urandom(8).hex()}
    soul, envelope = content(fields)
    refused("a changed content", {**envelope, "ops": [[0, {**envelope["ops"][0][1], "v": 2}]] + envelope["ops"][1:]}, 422, "bad_root")
    refused("signed content", {**envelope, "g": bytes(64)}, 422, "immutable")
    status, answer = post(envelope)
    check("content is taken", (status in (200, 202), {part.get("result") for part in answer.get("results", [])}), (True, {"taken"}))
    check("content", data(soul), fields)


if sys.argv[1] == "--vectors":
    vectors.run(sys.argv[2])
else:
    API = sys.argv[1].rstrip("/")
    NETWORK = call("GET", "/api/v1/status")[1]["network"]
    NET = bytes.fromhex(NETWORK["id"])
    RULES = {"net": NET, "mode": NETWORK["mode"], "community": bytes(32), "known": {}}
    ada, eve = Author(), Author()
    node = "interop/" + ada.soul[-8:]
    writes(ada, eve, node)
    forgeries(ada, eve, node)
    delegation(ada, eve)
    contents()
    print(f"{CHECKS} checks passed")
