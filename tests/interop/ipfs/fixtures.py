"""What is asked for: files, directories, DAGs, names and links, made by a real Kubo from a seed.

The fixtures of the specifications' own suite belong to that suite; these are ours and cover the same ground.
"""

import base64
import dataclasses
import json
import os
import pathlib
import random
import urllib.request
import zlib

import car

# Small, so that a file of a megabyte has many blocks and ranges begin and end within different ones.
CHUNK = 65536
BIG = 16 * CHUNK + 4321
HAMT_ENTRIES = 400
# `_redirects` files above this are refused (Web _redirects specification).
REDIRECTS_LIMIT = 65536
# A time in the past for UnixFS 1.5: 2021-03-04 05:06:07 UTC.
MTIME = 1614834367
AWKWARD = [
    "two words.txt", "ünïcödé-ą.txt", "per%cent.txt", "per%20cent.txt", "plus+and&amp.txt", "q?mark.txt", "hash#tag.txt",
    'quo"te.txt', "apo'strophe.txt", "日本語.html", "semi;colon,comma.txt", "back\\slash.txt", "-dash.txt", ".hidden.txt",
    "🦀.txt", "brackets[1]{2}(3).txt", "equals=and:colon@at.txt", "tilde~star*.txt", "pipe|less<more>.txt", "e\u0301.txt",
]


@dataclasses.dataclass
class Fixtures:
    cid: dict = dataclasses.field(default_factory=dict)
    # Names of the name system: what -> its CID in base36; and of DNSLink: name -> target.
    key: dict = dataclasses.field(default_factory=dict)
    dnslinks: dict = dataclasses.field(default_factory=dict)
    cars: list = dataclasses.field(default_factory=list)
    records: list = dataclasses.field(default_factory=list)
    content: dict = dataclasses.field(default_factory=dict)


def png(rng):
    """A valid image of 4 x 4 pixels."""
    def chunk(kind, data):
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")
    head = (4).to_bytes(4, "big") * 2 + bytes([8, 2, 0, 0, 0])
    rows = b"".join(b"\0" + rng.randbytes(12) for _ in range(4))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def files(rng):
    """Path -> bytes of the tree on which most requests work. The extension and the first bytes tell the type."""
    html = b"<!DOCTYPE html>\n<html><head><title>t</title></head><body>" + rng.randbytes(8).hex().encode() + b"</body></html>\n"
    tree = {
        "readme.txt": b"A file of text, " + rng.randbytes(8).hex().encode() + b".\n",
        "empty.bin": b"", "empty.txt": b"", "one.txt": b"1",
        "page.html": html, "page.htm": html,
        "data.json": b'{"a": 1, "b": [true, null]}\n', "style.css": b"body { color: red }\n",
        "script.js": b"export const a = 1\n", "module.mjs": b"export {}\n", "feed.xml": b"<?xml version='1.0'?><feed/>\n",
        "image.svg": b"<svg xmlns='http://www.w3.org/2000/svg' width='1' height='1'/>\n", "image.png": png(rng),
        "photo.jpg": b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0" + rng.randbytes(64) + b"\xff\xd9",
        "picture.webp": b"RIFF\x40\0\0\0WEBPVP8 " + rng.randbytes(48), "moving.gif": b"GIF89a\x01\0\x01\0\0\0\0;",
        "doc.pdf": b"%PDF-1.4\n%%EOF\n", "movie.mp4": b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + rng.randbytes(64),
        "sound.mp3": b"ID3\x03\0\0\0\0\0\0" + rng.randbytes(64), "font.woff2": b"wOF2\0\x01\0\0" + rng.randbytes(32),
        "module.wasm": b"\0asm\x01\0\0\0", "archive.zip": b"PK\x05\x06" + b"\0" * 18, "archive.gz": b"\x1f\x8b\x08\0" + rng.randbytes(20),
        "table.csv": b"a,b\n1,2\n", "notes.md": b"# Notes\n", "list.xyzzy": b"an extension nobody knows\n",
        "no-extension-text": b"plain text without an extension\n", "no-extension-html": html,
        "no-extension-png": png(rng), "no-extension-bytes": b"\0\x01\x02\xff" + rng.randbytes(60),
        "no-extension-utf8": "Grüße, 世界\n".encode(), "wrong.txt": b"\0\x01\x02" + rng.randbytes(60),
        "big.bin": rng.randbytes(BIG), "chunk.bin": rng.randbytes(CHUNK), "chunk+1.bin": rng.randbytes(CHUNK + 1),
        # The same block many times over.
        "zeros.bin": b"\0" * (5 * CHUNK), "dup/a.bin": b"", "dup/b.bin": b"",
        "dir/file.txt": b"in a directory\n", "dir/sub/deep/file.txt": b"deep\n", "dir/sub/other.txt": b"other\n",
        "with-index/index.html": html + b"<!-- index -->", "with-index/other.txt": b"beside an index\n",
        "index-is-dir/index.html/file.txt": b"index.html is a directory\n",
        # On a host of its own, these are files, not namespaces.
        "ipfs/file.txt": b"a file in a directory called ipfs\n", "ipns/file.txt": b"a file in a directory called ipns\n",
        "ą/ę/file-źł.txt": "zażółć\n".encode(), "api/v0/id": b"not an API\n",
    }
    tree["dup/a.bin"] = tree["dup/b.bin"] = rng.randbytes(2 * CHUNK)
    tree.update({f"names/{name}": name.encode() + b"\n" for name in AWKWARD})
    return tree


LINKS = {
    "links/to-file": "../readme.txt", "links/to-dir": "../dir", "links/dangling": "nowhere", "links/absolute": "/etc/hostname",
    "links/up": "..", "links/chain": "to-file", "links/loop": "loop", "links/out": "../../../outside",
}

REDIRECTS = """# comments and empty lines are no rules

/plain /target.html
/r301 /target.html 301
/r302 /target.html 302
/r303 /target.html 303
/r307 /target.html 307
/r308 /target.html 308
/rewrite /target.html 200
/rewrite-missing /no-such-file.html 200
/posts/:year/:month/:title /articles/:year-:month/:title 301
/splat/* /new/:splat 302
/gone/* /410.html 410
/unavailable/* /451.html 451
/lost/* /404.html 404
/lost-missing/* /no-such-file.html 404
/elsewhere https://example.net/there 301
/with-query /target.html?a=1 301
/exists.html /target.html 301
/first /a.html 301
/first /b.html 302
/rewritten/* /dir/:splat 200
/ümlaut /target.html 301
"""
REDIRECT_FILES = {
    "target.html": b"<p>target</p>\n", "410.html": b"<p>gone</p>\n", "451.html": b"<p>unavailable</p>\n", "404.html": b"<p>lost</p>\n",
    "exists.html": b"<p>exists</p>\n", "dir/inside.txt": b"inside\n", "index.html": b"<p>home</p>\n",
}
SPA = {"_redirects": b"/api/* /404.html 404\n/* /index.html 200\n", "index.html": b"<p>application</p>\n",
    "404.html": b"<p>no such call</p>\n", "asset.js": b"1\n"}
BROKEN_REDIRECTS = {
    "bad-status": b"/a /b 999\n", "bad-from": b"a /b\n", "bad-to": b"/a b\n", "one-field": b"/a\n", "forced": b"/a /b 301!\n",
    "too-large": b"/a /b\n" * (REDIRECTS_LIMIT // 6 + 2), "crlf": b"/plain /index.html 302\r\n/other /index.html 303\r\n",
    "no-newline": b"/plain /index.html 302", "four-fields": b"/a /b 301 Country=us\n", "empty": b"",
    "two-splats": b"/*/x/* /index.html 302\n", "placeholder-twice": b"/twice/:a/x/:a /second/:a 301\n/plain /index.html 302\n",
}


def write_tree(folder, tree, links=()):
    for path, data in tree.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    for path, target in dict(links).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        os.symlink(target, folder / path)
    return folder


class Maker:
    """Adds to a Kubo and exports what was added, until `finish`."""

    def __init__(self, kubo, folder, seed):
        self.kubo, self.folder, self.rng = kubo, folder, random.Random(f"fixtures/{seed}")
        self.out = Fixtures()

    def add(self, name, path, *flags):
        text = self.kubo.cli("add", "-Q", "-r", "-H", "--pin=false", f"--chunker=size-{CHUNK}", *flags, str(path))
        self.out.cid[name] = text.decode().split()[-1]
        return self.export(name)

    def export(self, name):
        path = self.folder / f"{name}.car"
        path.write_bytes(self.kubo.cli("dag", "export", "-p=false", self.out.cid[name]))
        self.out.cars.append(path)
        return path

    def node(self, name, value, codec="dag-cbor"):
        """A node given in DAG-JSON, stored under `codec`."""
        text = self.kubo.cli("dag", "put", "--input-codec=dag-json", f"--store-codec={codec}", stdin=json.dumps(value).encode())
        self.out.cid[name] = text.decode().strip()
        # Its own block: what it links to is exported elsewhere, or missing on purpose.
        return self.single(name)

    def block(self, name, data, codec):
        self.out.cid[name] = self.kubo.cli("block", "put", f"--cid-codec={codec}", stdin=data).decode().strip()
        return self.single(name)

    def single(self, name):
        cid = car.cid_bytes(self.out.cid[name])
        path = self.folder / f"{name}.car"
        car.write(path, cid, [(cid, self.kubo.cli("block", "get", self.out.cid[name]))])
        self.out.cars.append(path)

    def without(self, name, path, dropped):
        """Exports again without the blocks of these positions. The root stays the first."""
        blocks = car.read(path.read_bytes())
        car.write(path, blocks[0][0], [block for at, block in enumerate(blocks) if at not in dropped])
        return [car.cid_text(blocks[at][0]) for at in dropped]


def make(kubo, folder, seed):
    """Everything, in a folder, by a Kubo that is not running yet; it is running afterwards."""
    folder = pathlib.Path(folder)
    folder.mkdir()
    maker = Maker(kubo, folder, seed)
    out, rng = maker.out, maker.rng
    source = folder / "source"
    v1 = ["--cid-version=1", "--raw-leaves"]

    tree = files(rng)
    out.content = tree
    site = write_tree(source / "site", tree, LINKS)
    (site / "dir/empty").mkdir()
    maker.add("site", site, *v1)
    small = {path: data for path, data in tree.items() if path.split("/")[0] in ("readme.txt", "page.html", "dir", "with-index", "big.bin")}
    maker.add("site-v0", write_tree(source / "site-v0", small), "--cid-version=0")
    maker.add("blake3", write_tree(source / "blake3", small), *v1, "--hash=blake3")
    maker.add("sha512", site / "readme.txt", *v1, "--hash=sha2-512")
    for name in ("readme.txt", "page.html", "data.json", "big.bin", "empty.bin", "image.png"):
        maker.add(f"file/{name}".replace("/", "-"), site / name, *v1)
    maker.add("file-v0", site / "readme.txt", "--cid-version=0")
    maker.add("big-v0", site / "big.bin", "--cid-version=0")
    maker.add("inline", site / "one.txt", *v1, "--inline")
    dated = write_tree(source / "dated", {"file.txt": b"dated\n", "dir/file.html": b"<p>dated</p>\n", "big.bin": tree["big.bin"]})
    maker.add("dated", dated, "--cid-version=1", "--raw-leaves=false", f"--mtime={MTIME}", "--mode=0644")
    maker.add("empty-dir", write_tree(source / "empty-dir", {"x/y": b""}) / "x", *v1)
    out.cid["identity"] = car.identity(b"held by its own name\n")
    out.cid["identity-empty"] = "bafkqaaa"
    out.cid["missing"] = car.cid_text(b"\x01\x55\x12\x20" + rng.randbytes(32))
    out.cid["missing-v0"] = car.base_x(b"\x12\x20" + rng.randbytes(32), car.BASE58)

    # A directory that is sharded at this size only because the threshold is low.
    kubo.configure("Import.UnixFSHAMTDirectorySizeThreshold", "1KiB")
    sharded = {f"entry-{i:03}-{rng.randbytes(3).hex()}.txt": f"{i}\n".encode() for i in range(HAMT_ENTRIES)}
    sharded["big.bin"] = rng.randbytes(3 * CHUNK + 7)
    sharded["ź-entry.txt"] = b"utf-8\n"
    out.content["hamt"] = sharded
    maker.add("hamt", write_tree(source / "hamt", sharded), *v1)
    with_index = {"index.html": b"<p>index of a sharded directory</p>\n"} | {f"file-{i}": b"%d" % i for i in range(100)}
    maker.add("hamt-index", write_tree(source / "hamt-index", with_index), *v1)
    kubo.configure("Import.UnixFSHAMTDirectorySizeThreshold", None)

    # Missing blocks: reading around them works, reading through them does not.
    partial = maker.add("partial", write_tree(source / "partial", {"f.bin": rng.randbytes(10 * CHUNK)}) / "f.bin", *v1)
    out.cid["partial-leaf"], = maker.without("partial", partial, [5])
    holed = {"a.txt": rng.randbytes(40), "b.txt": rng.randbytes(40), "sub/c.txt": rng.randbytes(40)}
    path = maker.add("holed", write_tree(source / "holed", holed), *v1)
    maker.without("holed", path, [2])

    redirects = {"_redirects": REDIRECTS.encode(), **REDIRECT_FILES}
    maker.add("redirects", write_tree(source / "redirects", redirects), *v1)
    maker.add("spa", write_tree(source / "spa", SPA), *v1)
    for name, data in BROKEN_REDIRECTS.items():
        tree = {"_redirects": data, "index.html": b"<p>index</p>\n", "found.html": b"<p>found</p>\n"}
        maker.add(f"redirects-{name}", write_tree(source / f"redirects-{name}", tree), *v1)

    nodes(maker)
    names(maker, folder)
    return out


def nodes(maker):
    """DAG-CBOR, DAG-JSON, plain CBOR and JSON, and a directory that links to them."""
    out = maker.out
    link = {"/": out.cid["file-readme.txt"]}
    leaf = {"deep": {"file": link, "number": 7}}
    for codec in ("dag-cbor", "dag-json"):
        maker.node(f"{codec}-leaf", leaf, codec)
        inner = {"/": out.cid[f"{codec}-leaf"]}
        value = {
            "name": "ä node", "bytes": {"/": {"bytes": base64.b64encode(b"\0\1\2").decode().rstrip("=")}}, "int": 2**53 + 1, "negative": -5,
            "float": 0.5, "none": None, "yes": True, "list": [1, inner, link], "inner": inner, "file": link,
            "site": {"/": out.cid["site"]}, "missing": {"/": out.cid["missing"]}, "a/b": "a slash in a key", "": "an empty key",
        }
        maker.node(codec, value, codec)
    maker.block("json", b'{"hello":"world","n":[1,2,3]}', "json")
    # {"hello": "world"} in CBOR.
    maker.block("cbor", b"\xa1\x65hello\x65world", "cbor")
    hash_of = lambda name: {"/": out.cid[name]}
    links = [{"Hash": hash_of(name), "Name": name, "Tsize": 100} for name in ("cbor", "dag-cbor", "dag-json", "json")]
    # Data: a UnixFS directory.
    maker.node("mixed", {"Data": {"/": {"bytes": "CAE"}}, "Links": links}, "dag-pb")
    # A DAG-PB node that is no UnixFS at all.
    maker.node("not-unixfs", {"Data": {"/": {"bytes": base64.b64encode(b"no unixfs").decode().rstrip("=")}}, "Links": []}, "dag-pb")


def names(maker, folder):
    """Records of the name system, as bytes in files, and DNSLinks."""
    out, kubo = maker.out, maker.kubo
    kubo.start("--offline")
    for name, kind in [("site", "ed25519"), ("sub", "ed25519"), ("chain", "ed25519"), ("rsa", "rsa"), ("dag", "ed25519"),
                       ("short", "ed25519"), ("redirects", "ed25519"), ("missing", "ed25519"), ("broken", "ed25519"),
                       ("unknown", "ed25519"), ("file", "ed25519")]:
        out.key[name] = kubo.cli("key", "gen", f"--type={kind}", "--ipns-base=base36", name).decode().strip()
    targets = {
        "site": ("/ipfs/" + out.cid["site"], "1h"), "sub": (f"/ipfs/{out.cid['site']}/dir", "5m"),
        "chain": ("/ipns/" + out.key["site"], "2h"),
        "rsa": ("/ipfs/" + out.cid["site-v0"], "1h"), "dag": ("/ipfs/" + out.cid["dag-cbor"], "1h"),
        "short": ("/ipfs/" + out.cid["file-readme.txt"], "0s"),
        "redirects": ("/ipfs/" + out.cid["redirects"], "1h"), "missing": ("/ipfs/" + out.cid["missing"], "1h"),
        "broken": ("/ipfs/" + out.cid["file-readme.txt"], "1h"), "file": ("/ipfs/" + out.cid["file-page.html"], "1h"),
    }
    for name, (target, ttl) in targets.items():
        # Long: the republisher of a daemon would sign a record anew half way to its end.
        kubo.cli("name", "publish", "--allow-offline", "--resolve=false", f"--key={name}", "--lifetime=87600h", f"--ttl={ttl}", target)
        with urllib.request.urlopen(f"{kubo.url}/ipns/{out.key[name]}?format=ipns-record", timeout=30) as answer:
            record = answer.read()
        if name == "broken":
            # The last bytes are those of the second signature, or of the key after it: either way it does not verify.
            at = record.index(b"/ipfs/")
            record = record[:at + 20] + bytes([record[at + 20] ^ 1]) + record[at + 21:]
        path = folder / f"{out.key[name]}.ipns-record"
        path.write_bytes(record)
        out.records.append((out.key[name], path))
    site, redirects = out.cid["site"], out.cid["redirects"]
    out.dnslinks = {
        "site.dnslink.test": f"/ipfs/{site}", "sub.dnslink.test": f"/ipfs/{site}/dir", "over-ipns.dnslink.test": f"/ipns/{out.key['site']}",
        "chain.dnslink.test": "/ipns/site.dnslink.test", "redirects.dnslink.test": f"/ipfs/{redirects}",
        "spa.dnslink.test": f"/ipfs/{out.cid['spa']}",
        "file.dnslink.test": f"/ipfs/{out.cid['file-readme.txt']}", "v0.dnslink.test": f"/ipfs/{out.cid['site-v0']}",
        "with-dash.dnslink.test": f"/ipfs/{site}/with-index", "missing.dnslink.test": f"/ipfs/{out.cid['missing']}",
        "a-very-long-label-for-a-name-with-many-parts.and-another.dnslink.test": f"/ipfs/{site}",
    }
