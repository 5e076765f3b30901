"""Runs every vector of docs/spec/vectors through the implementation beside this file."""
import json
import os

from blake3 import blake3

import curve
import judge
import names
import network
from dagcbor import Refused, encode

CHECKS = 0


def same(what, got, wanted):
    global CHECKS
    CHECKS += 1
    if got != wanted:
        raise SystemExit(f"{what}: wanted {wanted!r}, got {got!r}")


def code_of(run):
    try:
        run()
    except Refused as refusal:
        return refusal.code
    return None


def cases(folder, name):
    with open(os.path.join(folder, name), encoding="utf-8") as file:
        return json.load(file)["cases"]


def rules(case):
    return {
        "net": bytes.fromhex(case["net"]), "now_ms": case["now_ms"], "mode": case["mode"], "community": bytes.fromhex(case["community"]),
        "known": judge.known(bytes.fromhex(pair) for pair in case["certificates"]),
    }


def souls(folder):
    for case in cases(folder, "souls.json"):
        soul = case["soul"]
        if "code" in case:
            same(f"the soul {soul!r}", code_of(lambda: names.space(soul)), case["code"])
            continue
        got = names.space(soul)[0], names.placement_key(soul), names.partition(soul)
        same(f"the soul {soul!r}", got, (case["space"], case["placement_key"], case["partition"]))


def keys(folder):
    for case in cases(folder, "keys.json"):
        key = bytes.fromhex(case["key"])
        same(f"a key: {case['why']}", None if curve.is_key(key) else "bad_key", case["code"])
        if case["soul"]:
            same("its soul", names.soul_of_key(key), case["soul"])


def values(folder):
    for case in cases(folder, "values.json"):
        if "code" in case:
            run = (lambda: names.value_of_json(case["json"])) if "json" in case else (lambda: names.value_of_cbor(bytes.fromhex(case["cbor"])))
            same(f"a value that is none: {case}", code_of(run), case["code"])
            continue
        value = names.value_of_json(case["json"])
        same(f"{case['json']} in CBOR", encode(value).hex(), case["cbor"])
        same(f"{case['json']} printed", names.value_text(names.value_of_cbor(bytes.fromhex(case["cbor"])), False), case["printed"])
        same(f"{case['json']} for HAM", names.value_text(value, True), case["ham"])


def ham(folder):
    for case in cases(folder, "ham.json"):
        a, b = names.value_of_json(case["a"]), names.value_of_json(case["b"])
        got = names.value_text(a, True), names.value_text(b, True), names.ham_order(a, b)
        same(f"{case['a']} and {case['b']}", got, (case["a_text"], case["b_text"], case["a_is"]))


def signatures(folder):
    for case in cases(folder, "signatures.json"):
        key, message, signature = (bytes.fromhex(case[part]) for part in ("key", "message", "signature"))
        same(f"a signature: {case['why']}", curve.verifies(key, message, signature), case["verifies"])
        same(f"its key: {case['why']}", None if curve.is_key(key) else "bad_key", case["key_code"])


def certificates(folder):
    for case in cases(folder, "certificates.json"):
        if case["what"] == "chain":
            known = judge.known(bytes.fromhex(pair) for pair in case["certificates"])
            leaf, found = bytes(names.cid_of_text(case["leaf"])[4:]), []
            code = code_of(lambda: found.extend(judge.chain(leaf, known.get, bytes.fromhex(case["net"]))))
            same(f"a chain: {case['why']}", code, case.get("refused", {}).get("code"))
            if code is None:
                same("its certificates", [judge.cid_text(it["id"]) for it in found], case["chain"])
            continue
        if "refused" in case:
            code = code_of(lambda: judge.certificate_pair(bytes.fromhex(case["pair_hex"])))
            same(f"a certificate: {case['why']}", code, case["refused"]["code"])
            continue
        it = judge.certificate_pair(bytes.fromhex(case["pair_hex"]))
        written = {key: it[key] for key in judge.CERTIFICATE}
        written["parent"] = None if it["parent"] is None else names.certificate_cid(it["parent"])
        same("a certificate's bytes", encode(written).hex(), case["bytes_hex"])
        got = {
            "cid": judge.cid_text(it["id"]), "digest": it["id"].hex(), "net": it["net"].hex(), "issuer": it["issuer"].hex(),
            "audience": it["audience"].hex(), "space": it["space"], "prefixes": it["prefixes"], "fields": it["fields"],
            "rights": {right: right in it["rights"] for right in ("write", "delegate", "endorse")},
            "not_before": str(it["not_before"]), "not_after": str(it["not_after"]), "nonce": it["nonce"].hex(),
            "parent": it["parent"] and judge.cid_text(it["parent"]), "writer": judge.writer(it["audience"], it["id"]).hex(),
        }
        same("what it says", got, {key: case[key] for key in got})


def entry(checked, result):
    """An operation as the vectors print it."""
    index, op = result[:2]
    if isinstance(result[2], Refused):
        return {"index": index, "refused": result[2].code}
    header, (under, writer) = checked["header"], result[2:]
    found = {
        "index": index, "id": judge.digest(b"rustdht/entry/1", checked["id"], index.to_bytes(2, "big")).hex(), "soul": op["s"],
        "field": op["f"], "kind": op["k"], "slot_hex": op["t"].hex() if "t" in op else None, "stamp": str(header["stamp"]),
        "author": header["author"].hex(), "leaf": under and judge.cid_text(under), "writer": writer.hex(),
        "kills": [one.hex() for one in op.get("x", [])], "over": [one.hex() for one in op.get("o", [])],
        "base": str(op["b"]) if "b" in op else None,
    }
    if "v" in op:
        found |= {"value_json": names.value_text(op["v"], False), "value_cbor": encode(op["v"]).hex(), "salt": op["r"].hex() if "r" in op else None}
    if "w" in op:
        found["value_hash"] = op["w"].hex()
    return found


def commits(folder, name):
    for case in cases(folder, name):
        what, wanted = f"{name}, {case['name']}", case["operations"]
        try:
            checked = judge.check(bytes.fromhex(case["envelope_hex"]), case["place"], rules(case))
        except Refused as refusal:
            raise SystemExit(f"{what}: refused: {refusal}") from refusal
        header = checked["header"]
        same(f"{what}: the commit", checked["id"].hex(), case["commit_id"])
        same(f"{what}: the time", ("deferred" if checked["until"] else "admitted", checked["until"]), (case["timing"], case["until_ms"]))
        same(f"{what}: the leaf certificates", [judge.cid_text(leaf) for leaf in header["auth"]], case["header"]["auth"])
        same(f"{what}: endorsements", [judge.cid_text(one) for one in checked["endorsed"]], case["endorsed_under"])
        same(f"{what}: chains", [judge.cid_text(one) for one in checked["chains"]], case["chains"])
        admitted = [result for result in checked["results"] if not isinstance(result[2], Refused)]
        same(f"{what}: value-less", any("w" in result[1] for result in admitted), case["value_less"])
        wanted = [{"index": one["index"], "refused": one["refused"]["code"]} if "refused" in one else one for one in wanted]
        for got, one in zip([entry(checked, result) for result in checked["results"]], wanted, strict=True):
            same(f"{what}: operation {one['index']}", got, one)
        leaves = [bytes.fromhex(one) for one in case["leaves"]]
        same(f"{what}: the root", judge.root(leaves), header["root"])
        for result in admitted:
            same(f"{what}: leaf {result[0]}", judge.leaf(*result[:2]), leaves[result[0]])


def joined(parts):
    def part(one):
        if isinstance(one, str):
            return bytes.fromhex(one)
        if "ids" in one:
            return b"".join(b"\x58\x20" + at.to_bytes(32, "big") for at in range(one["ids"]))
        return bytes.fromhex(one["byte"]) * one["times"]

    return b"".join(map(part, parts))


def refusals(folder):
    for case in cases(folder, "refusals.json"):
        code = code_of(lambda: judge.check(joined(case["envelope"]), case["place"], rules(case)))
        same(f"refusals.json, {case['name']} at a {case['place']}", code, case["refused"]["code"])


def network_things(folder):
    for case in cases(folder, "network.json"):
        same(f"network.json, {case['what']}, {case.get('why', 'good')}", code_of(lambda: network.check(case)), case.get("refused", {}).get("code"))


def run(folder):
    assert blake3(b"").hexdigest().startswith("af1349b9")
    for one in (souls, keys, values, ham, signatures, certificates, refusals, network_things):
        one(folder)
    for name in ("commits.json", "authority.json"):
        commits(folder, name)
    print(f"{CHECKS} checks of vectors passed")
