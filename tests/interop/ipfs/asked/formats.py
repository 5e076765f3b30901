"""Trustless gateway (blocks and CARs), and the formats of the path gateway: DAG-JSON, DAG-CBOR, JSON, CBOR, TAR."""

from asked.short import CAR, DAG_CBOR, DAG_JSON, HTML, RAW, TAR, accept, below, both, get, head, header
from fixtures import BIG, CHUNK


def blocks(f):
    roots = "file-readme.txt file-big.bin site-v0 dag-cbor json identity hamt blake3 not-unixfs"
    targets = [f"/ipfs/{f.cid[name]}" for name in roots.split()] + below(f"/ipfs/{f.cid['site']}", "/readme.txt /dir /dir/")
    yield from both("trustless/raw", *(target + "?format=raw" for target in targets))
    yield from get("trustless/raw", *targets, headers=accept(RAW))
    block = f"/ipfs/{f.cid['file-readme.txt']}"
    named = "&filename=named.bin &filename=%C5%BA.bin &download=true"
    yield from get("trustless/raw", *below(block + "?format=raw", named))
    for value in ("bytes=2-5", "bytes=-4", "bytes=0-", "bytes=4000-"):
        yield from get("trustless/raw-range", block + "?format=raw", headers=header("Range", value))
    # With this one a client asks whether there is a gateway at all.
    yield from get("trustless/raw", "/ipfs/bafkqaaa?format=raw", headers=accept(RAW))
    # The parameter wins over the header.
    yield from get("trustless/raw", block + "?format=raw", headers=accept(CAR))
    for kinds in (f"{RAW};q=0.5, */*", f"text/html, {RAW}"):
        yield from get("trustless/raw", block, headers=accept(kinds))


def cars(f):
    site = f"/ipfs/{f.cid['site']}"
    targets = below(site, "/readme.txt /dir /dir/ /dir/sub/deep/file.txt /big.bin /dup /links/to-file")
    targets += [f"/ipfs/{f.cid[name]}" for name in ("hamt", "file-readme.txt", "identity")]
    targets += [f"/ipfs/{f.cid['hamt']}/big.bin", f"/ipfs/{f.cid['site-v0']}/dir/file.txt"]
    yield from get("trustless/car", *(target + "?format=car" for target in targets))
    # Of these `all` is not asked: blocks of them are missing.
    holed = [f"/ipfs/{f.cid['dag-cbor-leaf']}", f"/ipfs/{f.cid['mixed']}/dag-cbor"]
    for scope, asked in (("block", targets + holed), ("entity", targets + holed), ("all", targets)):
        yield from get("trustless/car-scope", *(f"{target}?format=car&dag-scope={scope}" for target in asked))
    yield from get("trustless/car-scope", site + "?format=car&dag-scope=nonsense")
    spans = f"""0:* 0:0 {CHUNK - 1}:{CHUNK} {3 * CHUNK}:{5 * CHUNK} {BIG - 1}:* -1:* -1000:-10 -{BIG * 2}:* 0:{BIG * 2}
        5:4 a:b 0 : {CHUNK}:-{CHUNK}"""
    for scope in ("", "&dag-scope=entity"):
        yield from get("trustless/car-bytes", *below(f"{site}/big.bin?format=car{scope}&entity-bytes=", spans))
        yield from get("trustless/car-bytes-outside", f"{site}/big.bin?format=car{scope}&entity-bytes={BIG * 2}:*")
    yield from get("trustless/car-bytes", site + "/dir?format=car&entity-bytes=0:*")
    yield from get("trustless/car-bytes", f"{site}/zeros.bin?format=car&entity-bytes={CHUNK}:{2 * CHUNK}")
    # The fifth leaf is the one that is missing.
    around = f"0:{4 * CHUNK - 1} {5 * CHUNK}:*"
    yield from get("trustless/car-missing", *below(f"/ipfs/{f.cid['partial']}?format=car&dag-scope=entity&entity-bytes=", around))
    yield from head("trustless/car", site + "/dir?format=car")
    yield from get("trustless/car", site + "/dir?format=car", headers=header("Range", "bytes=0-9"))
    yield from get("trustless/car", site + "/no/such/path?format=car", f"/ipfs/{f.cid['identity']}?format=car&car-dups=y")
    yield from get("trustless/car-unavailable", f"/ipfs/{f.cid['missing']}?format=car")


def car_options(f):
    dup = f"/ipfs/{f.cid['site']}/dup"
    queries = """- &car-dups=y &car-dups=n &car-order=dfs &car-order=dfs&car-dups=y &car-order=unk &car-version=1 &car-version=2
        &car-order=bfs &car-dups=maybe &filename=named.car &filename=%C5%BA.car &download=true"""
    yield from get("trustless/car-options", *below(dup + "?format=car", queries))
    for parameters in ("", ";version=1", "; version=1; order=dfs; dups=y", ";order=dfs;dups=n", ";order=unk", ";version=2",
                       ";version=1;unknown=1", ";order=unk;dups=y", ';dups="y"'):
        yield from get("trustless/car-options", dup, dup + "?format=car", headers=accept(CAR + parameters))
    yield from get("trustless/car-options", dup + "?format=car&car-dups=y", headers=accept(f"{CAR};dups=n"))
    yield from get("trustless/car-options", dup + "?format=car&car-order=dfs", headers=accept(f"{CAR};order=unk"))
    yield from get("trustless/car-options", dup + "?format=car", headers=accept(RAW))


def codecs(f):
    for own in ("dag-cbor", "dag-json", "json", "cbor"):
        group, target = "path/codecs", f"/ipfs/{f.cid[own]}"
        yield from both(group, target)
        for form in ("dag-cbor", "dag-json", "json", "cbor"):
            yield from get(group, f"{target}?format={form}")
            kind = f"application/vnd.ipld.{form}" if form.startswith("dag") else f"application/{form}"
            yield from get(group, target, headers=accept(kind))
        yield from get(group, target, target + "/", headers=accept(HTML))
        options = f"filename=named.x&download=true format={own}&download=true format={own}&filename=a.x"
        yield from get(group, *below(target + "?", options))
        yield from get(group, target, headers=header("Range", "bytes=1-4"))
        # HEAD with a range of plain JSON and CBOR is a 500 of Kubo's.
        stumbles = group if own.startswith("dag") else "path/kubo-stumbles"
        yield from head(stumbles, f"{target}?format={own}", headers=header("Range", "bytes=1-4"))


def traversal(f):
    paths = """/inner /inner/deep /inner/deep/file /file /list/1/deep/file /list/2 /site /site/ /site/readme.txt /site/dir/ /name /int
        /list/0 /list/99 /nowhere /inner/nowhere"""
    for own in ("dag-cbor", "dag-json"):
        target = f"/ipfs/{f.cid[own]}"
        yield from get("path/traversal", *below(target, paths), *below(target + "/inner?format=", f"{own} raw"))
        yield from get("path/traversal-slash", target + "/a%2Fb")
        yield from get("path/traversal-unavailable", target + "/missing")
    mixed = "/ /dag-cbor /dag-json /json /cbor /dag-cbor/inner /dag-cbor?format=dag-cbor /cbor?format=raw"
    yield from get("path/mixed", *below(f"/ipfs/{f.cid['mixed']}", mixed))
    # Codecs are not converted into each other.
    for form in ("dag-json", "dag-cbor", "json", "cbor"):
        targets = below(f"/ipfs/{f.cid['site']}", "/readme.txt /data.json /dir/") + [f"/ipfs/{f.cid['file-data.json']}"]
        yield from get("path/conversion", *(f"{target}?format={form}" for target in targets))
    yield from get("path/conversion", f"/ipfs/{f.cid['site-v0']}", headers=accept(DAG_JSON))
    yield from get("path/conversion", f"/ipfs/{f.cid['file-readme.txt']}", headers=accept(DAG_CBOR))
    yield from get("path/kubo-stumbles", f"/ipfs/{f.cid['not-unixfs']}", f"/ipfs/{f.cid['dag-cbor']}?format=tar")


def tars(f):
    site = f"/ipfs/{f.cid['site']}"
    targets = below(site, "/dir /dir/ /readme.txt /names /dup /big.bin") + [f"/ipfs/{f.cid['site-v0']}/dir"]
    targets += [f"/ipfs/{f.cid[name]}" for name in ("file-readme.txt", "hamt-index", "dated", "empty-dir")]
    yield from get("path/tar", *(target + "?format=tar" for target in targets))
    yield from get("path/tar", site + "/dir", headers=accept(TAR))
    yield from head("path/tar", site + "/dir?format=tar")
    yield from get("path/tar", site + "/dir?format=tar&filename=named.tar")
    yield from get("path/tar", site + "/dir?format=tar", with_etag=("If-None-Match", 'W/"%s"'))


PARTS = [blocks, cars, car_options, codecs, traversal, tars]
