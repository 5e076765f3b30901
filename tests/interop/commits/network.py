"""The signed things of a network: docs/spec/network.md."""
from blake3 import blake3

from dagcbor import Refused, decode
from judge import check_key, digest, need, raw, signed_pair, uint
from names import base58, unbase32

CHARTER = {"v", "mode", "name", "nonce", "centres", "replicas", "community", "partitions", "horizon_days", "write_quorum"}
RECORD = {"v", "key", "net", "role", "stamp", "replica"}


def charter(body):
    need(len(body) <= 1024, "too_large")
    it = decode(body)
    need(isinstance(it, dict) and set(it) == CHARTER and uint(it["v"]) == 1 and it["mode"] in ("open", "members"))
    raw(it["nonce"], 16), raw(it["community"], 32)
    need(isinstance(it["name"], str))
    name, most = it["name"], {"partitions": 65536, "replicas": 65535, "write_quorum": 65535, "centres": 65535, "horizon_days": 2**32 - 1}
    need(1 <= len(name.encode()) <= 128 and not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in name), "out_of_range")
    need(all(1 <= uint(it[key]) <= bound for key, bound in most.items()), "out_of_range")
    need(it["partitions"] & it["partitions"] - 1 == 0, "out_of_range")
    need(it["write_quorum"] <= it["replicas"] and it["centres"] <= min(it["replicas"], it["partitions"]), "out_of_range")
    check_key(it["community"])
    return it, it["community"]


def peer_id(key):
    return base58(bytes.fromhex("002408011220") + key)


def record(body, net):
    need(len(body) <= 1024, "too_large")
    it = decode(body)
    need(isinstance(it, dict) and set(it) == RECORD and uint(it["v"]) == 1 and it["role"] in ("full", "partial", "client"))
    uint(it["stamp"])
    need(isinstance(it["replica"], str))
    need(1 <= len(it["replica"].encode()) <= 128, "out_of_range")
    need(it["replica"] == peer_id(raw(it["key"], 32)), "bad_key")
    need(raw(it["net"], 32) == net, "wrong_network")
    return it, it["key"]


def invite(text):
    need(len(text.encode()) <= 8192, "too_large")
    need(text.startswith("rustdht1"))
    try:
        it = decode(unbase32(text[8:]))
    except ValueError as error:
        raise Refused("malformed", "no base32") from error
    need(isinstance(it, dict) and set(it) == {"v", "key", "charter", "addresses", "signature"} and uint(it["v"]) == 1)
    body, key = charter(raw(it["charter"]))
    from curve import verifies
    need(verifies(key, digest(b"rustdht/charter/1", it["charter"]), raw(it["signature"], 64)), "bad_signature")
    return it, body


def proof(key, net, prover, verifier, nonce_verifier, nonce_prover):
    hasher = blake3(key=key)
    for part in (b"rustdht/hello/1", net, len(prover).to_bytes(8, "big"), prover, len(verifier).to_bytes(8, "big"), verifier):
        hasher.update(part)
    return hasher.update(nonce_verifier).update(nonce_prover).digest()


def agree(got, wanted):
    if got != wanted:
        raise SystemExit(f"network.json: wanted {wanted!r}, got {got!r}")


def check(case):
    if case["what"] == "charter":
        it = signed_pair(bytes.fromhex(case["pair_hex"]), b"rustdht/charter/1", charter)
        agree(blake3(bytes.fromhex(case["bytes_hex"])).hexdigest(), case["net"])
        for key in ("name", "mode", "partitions", "replicas", "write_quorum", "centres", "horizon_days"):
            agree(it[key], case["charter"][key])
    elif case["what"] == "invite":
        it, _ = invite(case["text"])
        agree((it["key"].hex(), it["addresses"], it["charter"].hex()), (case["network_key"], case["addresses"], case["charter_hex"]))
    elif case["what"] == "replica record":
        net = bytes.fromhex(case["net"])
        it = signed_pair(bytes.fromhex(case["pair_hex"]), b"rustdht/replica/1", lambda body: record(body, net))
        agree((it["replica"], it["role"], str(it["stamp"])), (case["replica"], case["role"], case["stamp"]))
    else:
        parts = ("network_key", "net", "prover", "verifier", "nonce_verifier", "nonce_prover")
        agree(proof(*(bytes.fromhex(case[part]) for part in parts)).hex(), case["proof"])
