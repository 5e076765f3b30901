"""What is valid, and where: docs/spec/commit-format.md and docs/spec/authority.md."""
from blake3 import blake3

import curve
from dagcbor import Cid, Refused, decode, encode, order
from names import certificate_cid, content_soul, is_value, name, placement_key, soul_of_key, space

UNSIGNED = bytes(32)
MIB = 1 << 20
HEADER = {"n", "v", "net", "seq", "auth", "prev", "root", "stamp", "author", "session"}
CERTIFICATE = {"v", "net", "nonce", "space", "fields", "issuer", "parent", "rights", "audience", "prefixes", "not_after", "not_before"}
OWN_ID = {"set", "flag", "text", "list", "map", "kill"}
TOTALS = {"counter", "max", "min"}


def digest(*parts):
    return blake3(b"".join(parts)).digest()


def refuse(code, why=""):
    raise Refused(code, why)


def need(holds, code="malformed", why=""):
    if not holds:
        refuse(code, why)


def raw(value, length=None):
    need(type(value) is bytes and (length is None or len(value) == length), why="bytes of another length")
    return value


def uint(value):
    need(isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 64, why="expected a u64")
    return value


def array(value, most, code="malformed"):
    need(isinstance(value, list))
    need(len(value) <= most, code)
    return value


def certificate_id(value):
    """The digest that a certificate's CID holds."""
    need(isinstance(value, Cid) and len(value) == 36 and value[:4] == b"\x01\x71\x1e\x20", why="no certificate's CID")
    return bytes(value[4:])


def check_key(key):
    need(curve.is_key(key), "bad_key")


def writer(author, leaf):
    return digest(author, leaf or bytes(32))[:16]


def signed_pair(pair, label, key_of):
    """A signed thing of the network: [bytes, b64]."""
    parts = array(decode(pair), 2)
    need(len(parts) == 2)
    body, signature = raw(parts[0]), raw(parts[1], 64)
    thing, key = key_of(body)
    check_key(key)
    need(curve.verifies(key, digest(label, body), signature), "bad_signature")
    return thing


# Certificates

def ascending(texts):
    need(all(isinstance(text, str) for text in texts))
    need(all(a.encode() < b.encode() for a, b in zip(texts, texts[1:])), why="a list ascends, none twice")
    return texts


def certificate(body, signature):
    need(len(body) <= 8192, "too_large")
    it = decode(body)
    need(isinstance(it, dict) and set(it) == CERTIFICATE and uint(it["v"]) == 1)
    raw(it["net"], 32), raw(it["nonce"], 16)
    prefixes = ascending(array(it["prefixes"], 16, "out_of_range"))
    fields = ascending(array(it["fields"], 64, "out_of_range"))
    rights = ascending(array(it["rights"], 3, "out_of_range"))
    need(rights, "out_of_range"), need(set(rights) <= {"delegate", "endorse", "write"})
    need(prefixes, "out_of_range")
    need(isinstance(it["space"], str))
    where, owner = space(it["space"])
    for field in fields:
        name(field, 256, "bad_field")
    for prefix in prefixes:
        space(prefix)
    parent = None if it["parent"] is None else certificate_id(it["parent"])
    need(uint(it["not_before"]) < uint(it["not_after"]), "out_of_range")
    check_key(raw(it["issuer"], 32)), check_key(raw(it["audience"], 32))
    need(where == "owned" and it["space"] == placement_key(it["space"]), "bad_soul")
    check_key(owner)
    need(all(placement_key(prefix) == it["space"] for prefix in prefixes), "bad_soul")
    need(curve.verifies(it["issuer"], digest(b"rustdht/cert/1", body), raw(signature, 64)), "bad_signature")
    return {**it, "id": digest(body), "parent": parent, "bytes": body, "signature": signature}


def certificate_pair(pair):
    parts = array(decode(pair), 2)
    need(len(parts) == 2)
    return certificate(raw(parts[0]), raw(parts[1], 64))


def below(soul, prefix):
    return soul == prefix or soul.startswith(prefix + "/")


def covers(it, soul, field):
    return any(below(soul, prefix) for prefix in it["prefixes"]) and (not it["fields"] or field in it["fields"])


def admits(it, stamp):
    return it["not_before"] <= stamp < it["not_after"]


def lies_within(it, parent):
    return (
        it["issuer"] == parent["audience"] and "delegate" in parent["rights"] and it["space"] == parent["space"]
        and all(any(below(soul, prefix) for prefix in parent["prefixes"]) for soul in it["prefixes"])
        and (not parent["fields"] or it["fields"] and set(it["fields"]) <= set(parent["fields"]))
        and set(it["rights"]) <= set(parent["rights"])
        and it["not_before"] >= parent["not_before"] and it["not_after"] <= parent["not_after"]
    )


def chain(leaf, find, net):
    found, following = [], leaf
    while following is not None:
        need(len(found) < 8, "not_authorised")
        it = find(following)
        need(it is not None, "certificate_missing")
        need(it["net"] == net, "not_authorised")
        need(not found or lies_within(found[-1], it), "not_authorised")
        following = it["parent"]
        need(following is not None or soul_of_key(it["issuer"]) == it["space"], "not_authorised")
        found.append(it)
    return found


# Leaves and the tree

def leaf(index, op):
    body = {key: part for key, part in op.items() if key not in ("r", "w")}
    if "v" in op:
        body["v"] = digest(op.get("r", b""), encode(op["v"]))
    if "w" in op:
        body["v"] = op["w"]
    return digest(b"\0", index.to_bytes(2, "big"), encode(body))


def node(left, right):
    return digest(b"\1", left, right)


def root(leaves):
    if len(leaves) == 1:
        return leaves[0]
    pairs = [node(leaves[at], leaves[at + 1]) for at in range(0, len(leaves) - 1, 2)]
    return root(pairs + ([leaves[-1]] if len(leaves) % 2 else []))


def root_of_path(n, index, found, path):
    path = list(path)
    while n > 1:
        if index % 2:
            found = node(path.pop(0), found) if path else None
        elif index + 1 < n:
            found = node(found, path.pop(0)) if path else None
        if found is None:
            return None
        index, n = index // 2, (n + 1) // 2
    return None if path else found


# Envelopes

def pairs(value, most):
    need(isinstance(value, list) and value)
    need(len(value) <= most, "out_of_range")
    for pair in value:
        need(isinstance(pair, list) and len(pair) == 2)
        raw(pair[1], 64)
    return value


def outline(data, place):
    need(len(data) <= MIB, "too_large")
    it = decode(data)
    need(isinstance(it, dict) and set(it) <= {"h", "g", "ops", "c", "e", "leaves", "proofs"})
    need("h" in it and "ops" in it)
    raw(it["h"])
    if "g" in it:
        raw(it["g"], 64)
    ops = array(it["ops"], 1024, "too_many_operations")
    need(ops)
    last = -1
    for pair in ops:
        need(isinstance(pair, list) and len(pair) == 2 and isinstance(pair[1], dict))
        need(uint(pair[0]) < 1 << 16, "out_of_range")
        need(pair[0] > last)
        last, op = pair[0], pair[1]
        need("r" not in op or type(op["r"]) is bytes)
        need("w" not in op or "v" not in op and type(op["w"]) is bytes and len(op["w"]) == 32)
    for body, _ in pairs(it["c"], 64) if "c" in it else []:
        raw(body)
    endorsers = [certificate_id(cid) for cid, _ in pairs(it["e"], 32)] if "e" in it else []
    need(len(set(endorsers)) == len(endorsers))
    need(not ("leaves" in it and "proofs" in it))
    for one in array(it.get("leaves", []), 1024):
        raw(one, 32)
    for row in array(it.get("proofs", []), 1024):
        for one in array(row, 10):
            raw(one, 32)
    need("proofs" not in it or len(it["proofs"]) == len(ops))
    need(place == "replica" or "leaves" not in it and "proofs" not in it)
    return it


def read_header(data):
    need(len(data) <= 4096)
    it = decode(data)
    need(isinstance(it, dict) and set(it) == HEADER and uint(it["v"]) == 1)
    need(uint(it["n"]), "out_of_range")
    need(it["n"] <= 1024, "too_many_operations")
    need(it["prev"] is None or raw(it["prev"], 32))
    need((it["prev"] is None) == (uint(it["seq"]) == 0))
    raw(it["net"], 32), raw(it["author"], 32), raw(it["session"], 8), uint(it["stamp"]), raw(it["root"], 32)
    leaves = [certificate_id(cid) for cid in array(it["auth"], 4, "out_of_range")]
    need(len(set(leaves)) == len(leaves))
    return {**it, "auth": leaves}


# Operations

def read_operation(op, salted):
    need(set(op) <= set("bfkorstvwx") and {"s", "f", "k"} <= set(op))
    need(isinstance(op["s"], str))
    space(op["s"])
    name(op["f"], 256, "bad_field"), name(op["k"], 32, "bad_kind")
    need("t" not in op or len(raw(op["t"])) <= 64, "bad_slot")
    if "b" in op:
        uint(op["b"])
    for key, most in (("x", 8192), ("o", 4)):
        ids = op.get(key, [b""])
        need(isinstance(ids, list))
        need(1 <= len(ids) <= most, "out_of_range")
        need(key not in op or all(len(raw(one, 32)) == 32 for one in ids))
        need(all(a < b for a, b in zip(ids, ids[1:])))
    if "r" in op:
        raw(op["r"], 16)
    if "v" in op:
        need(not salted or "r" in op)
        need(len(encode(op["v"])) <= 65536, "too_large")
        need(is_value(op["v"]), "bad_value")
    else:
        need("r" not in op)
    need("v" in op or "w" in op or "x" in op)


def standing(header, op, leaves, place):
    """The certificate that an operation stands under, None: none."""
    where, owner = space(op["s"])
    if where == "owned" and owner != header["author"]:
        held = [it for it in leaves if "write" in it["rights"] and it["space"] == placement_key(op["s"]) and covers(it, op["s"], op["f"])]
        for it in held:
            if admits(it, header["stamp"]):
                return where, it["id"]
        need(not held, "certificate_expired")
        check_key(owner)
        refuse("not_authorised")
    need(where != "mirror" or place == "replica", "not_authorised")
    need(where != "content", "immutable")
    need(where != "local", "local_space")
    return where, None


def judge_operation(header, op, leaves, place):
    read_operation(op, True)
    where, under = standing(header, op, leaves, place)
    h, kind, slot = writer(header["author"], under), op["k"], op.get("t")
    if kind in ("register", "null"):
        need(slot == (b"" if where == "public" else h), "bad_slot")
    elif kind in TOTALS:
        need(slot == (header["author"] if where == "public" else h) + header["session"], "bad_slot")
    elif kind in OWN_ID:
        need(slot is None, "bad_slot")
    else:
        need(slot is None or where == "public" or slot.startswith(h), "bad_slot")
    need("x" not in op or slot is None)
    if "b" in op:
        need(kind in ("text", "list", "map") and "x" in op)
        need(op["b"] <= header["stamp"], "out_of_range")
    need("w" not in op or place == "replica")
    need("w" not in op or kind not in ("null", "kill"), "bad_value")
    if "v" in op:
        need(op["v"] is not None or kind not in ("register", "set"), "bad_value")
        need(op["v"] is None or kind != "null", "bad_value")
        need(kind != "kill" or op["v"] == "erase", "bad_value")
    return under, h


# Commits

def content(it, header):
    plain = header["session"] == bytes(8) and header["seq"] == 0 and header["stamp"] == 0 and not header["auth"]
    need(plain and not {"g", "c", "e", "leaves", "proofs"} & set(it), "immutable")
    fields, results = {}, []
    for position, (index, op) in enumerate(it["ops"]):
        need(index == position, "immutable")
        read_operation(op, False)
        need(op["s"] == it["ops"][0][1]["s"] and op["k"] == "register" and op.get("t") == b"", "immutable")
        need(not {"x", "o", "b"} & set(op), "immutable")
        need(not fields or order(list(fields)[-1]) < order(op["f"]), "immutable")
        need("v" not in op or op["v"] is not None, "bad_value")
        need("v" in op and "r" not in op, "immutable")
        fields[op["f"]] = op["v"]
        results.append((index, op, None, writer(UNSIGNED, None)))
    leaves = [leaf(index, op) for index, op in it["ops"]]
    need(len(leaves) == header["n"] and root(leaves) == header["root"], "bad_root")
    need(content_soul(fields) == it["ops"][0][1]["s"], "bad_soul")
    return {"header": header, "id": digest(b"rustdht/commit/1", it["h"]), "until": None, "results": results, "endorsed": [], "chains": []}


def check(data, place, rules):
    """`rules`: net, now_ms, mode, community, and the pairs of certificates that are known."""
    door = place == "door"
    it = outline(data, place)
    header = read_header(it["h"])
    need(header["net"] == rules["net"], "wrong_network")
    if header["author"] == UNSIGNED:
        souls = [op.get("s") for _, op in it["ops"]]
        need(all(isinstance(soul, str) and soul.startswith("#") for soul in souls), "bad_key")
        return content(it, header)
    check_key(header["author"])
    ahead = header["stamp"] // 4096 - rules["now_ms"]
    need(ahead <= 86_400_000, "too_early")
    need("g" in it)
    need(all(index < header["n"] for index, _ in it["ops"]), "out_of_range")

    carried = {digest(body): (body, signature) for body, signature in it.get("c", [])}
    if door:
        for body, signature in it.get("c", []):
            certificate(body, signature)

    def find(wanted):
        if wanted in rules["known"] or wanted not in carried:
            return rules["known"].get(wanted)
        try:
            return certificate(*carried[wanted])
        except Refused as refusal:
            return None if refusal.code == "bad_signature" else refuse("not_authorised")

    leaves, chains = [], set()
    for wanted in header["auth"]:
        try:
            found = chain(wanted, find, rules["net"])
            need(found[0]["audience"] == header["author"], "not_authorised")
        except Refused as refusal:
            if door or refusal.code == "certificate_missing":
                raise
            continue
        leaves.append(found[0])
        chains |= {one["id"] for one in found}

    commit_id = digest(b"rustdht/commit/1", it["h"])
    endorsed, audiences, unknown = [], set(), False
    hollow = None
    for cid, signature in it.get("e", []):
        try:
            found = chain(certificate_id(cid), find, rules["net"])
            need("endorse" in found[0]["rights"] and found[0]["space"] == soul_of_key(rules["community"]), "not_authorised")
            need(admits(found[0], header["stamp"]), "certificate_expired")
        except Refused as refusal:
            if door:
                raise
            unknown |= refusal.code == "certificate_missing"
            continue
        if not curve.verifies(found[0]["audience"], digest(b"rustdht/endorse/1", commit_id), signature):
            hollow = "bad_signature"
            continue
        endorsed.append(found[0]["id"])
        audiences.add(found[0]["audience"])
        chains |= {one["id"] for one in found}

    results = []
    for index, op in it["ops"]:
        try:
            under, h = judge_operation(header, op, leaves, place)
            results.append([index, op, under, h])
        except Refused as refusal:
            if door:
                raise
            results.append([index, op, refusal])
    if door:
        slots = [(op["s"], op["f"], op["k"], op["t"]) for _, op in it["ops"] if "t" in op]
        need(len(set(slots)) == len(slots), "duplicate_operation")
    prove(it, header, results)
    need(curve.verifies(header["author"], commit_id, it["g"]), "bad_signature")
    need(not door or hollow is None, hollow)
    if rules["mode"] == "members" and not door:
        for result in results:
            if isinstance(result[2], Refused) or placement_key(result[1]["s"]) == soul_of_key(rules["community"]):
                continue
            vouched = header["author"] in audiences if space(result[1]["s"])[0] == "mirror" else endorsed
            if not vouched:
                result[2:] = [Refused("certificate_missing" if unknown else "not_authorised")]
    until = header["stamp"] // 4096 if ahead > 60_000 else None
    return {"header": header, "id": commit_id, "until": until, "results": results, "endorsed": endorsed, "chains": sorted(chains)}


def prove(it, header, results):
    """Ties the operations to the root; one that does not belong there is refused alone."""
    n, found = header["n"], [leaf(index, op) for index, op in it["ops"]]
    if len(found) == n and root(found) == header["root"]:
        return
    need("leaves" in it or "proofs" in it, "bad_root")
    if "leaves" in it:
        need(len(it["leaves"]) == n and root(it["leaves"]) == header["root"], "bad_root")
    for position, (result, one) in enumerate(zip(results, found)):
        if "leaves" in it:
            holds = it["leaves"][result[0]] == one
        else:
            holds = root_of_path(n, result[0], one, it["proofs"][position]) == header["root"]
        if not holds:
            result[2:] = [Refused("bad_root")]


def known(pairs_of):
    found = [certificate_pair(pair) for pair in pairs_of]
    return {it["id"]: it for it in found}


def cid_text(certificate_digest):
    from names import cid_text as text
    return text(certificate_cid(certificate_digest))
