#!/usr/bin/env python3
"""A second implementation of docs/spec/private-blobs.md, in Python, against the vectors of the specification.

    private_blobs.py docs/spec/vectors              needs the packages blake3 and pynacl
    private_blobs.py --open LINK CIPHERTEXT         writes the plaintext of a file to stdout
    private_blobs.py --seal PLAINTEXT               writes the ciphertext to stdout, the key to stderr
"""
import base64, hashlib, json, os, pathlib, sys

from blake3 import blake3
from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_decrypt as unseal
from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_encrypt as seal
from nacl.exceptions import CryptoError

UNIT, TAG = 1 << 20, 16


def derive(use, key, file_id):
    return blake3(key + file_id, derive_key_context=f"rustdht/private-blob/1 {use}").digest()


def header_of(key, file_id):
    return b"rdhtp\0\0\x01" + file_id + derive("commitment", key, file_id)


def nonce(index, last):
    return index.to_bytes(8, "big") + bytes(15) + bytes([last])


def encrypt(key, file_id, plaintext):
    header, secret = header_of(key, file_id), derive("segments", key, file_id)
    first = UNIT - TAG - len(header)
    parts = [plaintext[:first]] + [plaintext[at : at + UNIT - TAG] for at in range(first, len(plaintext), UNIT - TAG)]
    sealed = [seal(part, header, nonce(index, part is parts[-1]), secret) for index, part in enumerate(parts)]
    return header + b"".join(sealed)


class Refused(Exception):
    pass


def decrypt(key, data):
    units = [data[at : at + UNIT] for at in range(0, len(data), UNIT)]
    if len(data) < 80 or (len(units) > 1 and len(units[-1]) <= TAG):
        raise Refused("length")
    header = data[:64]
    if header != header_of(key, header[8:32]):
        raise Refused("header")
    units[0] = units[0][64:]
    secret, out = derive("segments", key, header[8:32]), []
    for index, unit in enumerate(units):
        try:
            out.append(unseal(unit, header, nonce(index, index + 1 == len(units)), secret))
        except CryptoError:
            raise Refused(f"segment {index}")
    return b"".join(out)


def key_of(text):
    return base64.urlsafe_b64decode(text + "=")


def pattern(size):
    return bytes((i ^ (i >> 8) ^ (i >> 16)) & 255 for i in range(size))


def check(cases):
    counted = {"opens": 0, "refused": 0}
    for case in cases:
        key, plaintext = key_of(case["key"]), pattern(case["plaintext_size"])
        if case["what"] == "opens":
            data = encrypt(key, bytes.fromhex(case["id_hex"]), plaintext)
            assert len(data) == case["ciphertext_size"] and data[:64].hex() == case["header_hex"], case
            assert hashlib.sha256(data).hexdigest() == case["ciphertext_sha256"], case
            assert case.get("ciphertext_hex", data.hex()) == data.hex(), case
            assert decrypt(key, data) == plaintext, case
        else:
            files = {n: encrypt(key, bytes(range(n, n + 24)), plaintext) for n in {it["id_from"] for it in case["segments"]}}
            at = [(files[it["id_from"]], it["segment"] * UNIT) for it in case["segments"]]
            data = b"".join(file[start : start + UNIT] for file, start in at)[: case["length"]]
            assert hashlib.sha256(data).hexdigest() == case["sha256"], case
            try:
                decrypt(key, data)
            except Refused:
                pass
            else:
                raise AssertionError(f"opened: {case['why']}")
        counted[case["what"]] += 1
    assert min(counted.values()) >= 8, counted
    print(f"private blobs: {counted['opens']} made and opened, {counted['refused']} refused")


if __name__ == "__main__":
    if sys.argv[1] == "--open":
        link, path = sys.argv[2:]
        key = key_of(link.split("#key=")[1].split("&")[0])
        sys.stdout.buffer.write(decrypt(key, pathlib.Path(path).read_bytes()))
    elif sys.argv[1] == "--seal":
        key = os.urandom(32)
        print(base64.urlsafe_b64encode(key).decode().rstrip("="), file=sys.stderr)
        sys.stdout.buffer.write(encrypt(key, os.urandom(24), pathlib.Path(sys.argv[2]).read_bytes()))
    else:
        check(json.loads((pathlib.Path(sys.argv[1]) / "private-blobs.json").read_text())["cases"])
