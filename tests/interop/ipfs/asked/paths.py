"""Path gateway: files, directories, links, conditional requests, ranges, errors, CORS."""

from urllib.parse import quote

import car
from asked.short import CAR, ORIGIN, accept, below, both, get, head, header
from exchange import Request
from fixtures import AWKWARD, BIG, CHUNK, LINKS

ONLY_IF_CACHED = header("Cache-Control", "only-if-cached")


def files(f):
    site = f"/ipfs/{f.cid['site']}"
    # By the extension, and by the first bytes where it has none.
    yield from both("path/types", *(f"{site}/{quote(path)}" for path in f.content if "/" not in path and path != "hamt"))
    yield from get("path/names", *(f"{site}/names/{quote(name)}" for name in AWKWARD), f"{site}/{quote('ą/ę/file-źł.txt')}")
    # What RFC 3986 lets stand unescaped, and escapes that were not needed.
    yield from get("path/names", *below(site, "/names/plus+and&amp.txt /names/two+words.txt /%72%65adme.txt"))
    roots = """file-readme.txt file-page.html file-data.json file-image.png file-empty.bin file-big.bin file-v0 big-v0 inline
        identity identity-empty blake3 sha512"""
    yield from both("path/roots", *(f"/ipfs/{f.cid[name]}" for name in roots.split()))
    for name, path in (("site", "/readme.txt"), ("file-readme.txt", "")):
        binary = car.cid_bytes(f.cid[name])
        spelled = [car.in_base36(f.cid[name]), f.cid[name].upper(), f"f{binary.hex()}", "z" + car.base_x(binary, car.BASE58)]
        yield from get("path/bases", *(f"/ipfs/{text}{path}" for text in spelled))
    queries = """filename=other.html filename=other.html&download=true filename=a%20b.txt filename=%C5%BA%C5%82.txt download=true
        filename=quo%22te.txt filename=x%0d%0ay.txt filename=..%2Fup.txt filename= filename=x.png&download=false unknown=1"""
    yield from get("path/filename", *below(f"/ipfs/{f.cid['file-readme.txt']}?", queries))
    yield from get("path/filename", f"{site}/image.png?filename=%E6%97%A5.png&download=true")
    yield from both("path/only-if-cached", f"{site}/readme.txt", f"/ipfs/{f.cid['missing']}", headers=ONLY_IF_CACHED)
    yield from get("path/only-if-cached", f"{site}/readme.txt?format=raw", headers=ONLY_IF_CACHED)


def directories(f):
    site, v0, hamt = (f"/ipfs/{f.cid[name]}" for name in ("site", "site-v0", "hamt"))
    polish = "/" + quote("ą/ę")
    yield from both("path/directories", *below(site, f"/ /dir/ /dir/sub/ /dir/empty/ /names/ {polish}/ /with-index/"))
    yield from both("path/kubo-stumbles", site + "/index-is-dir/")
    yield from get("path/directories", *below(site, f"- /dir /dir/sub {polish} /with-index /dir?filename=x /with-index?a=b&c=%20d"))
    yield from both("path/directories", f"/ipfs/{f.cid['empty-dir']}/")
    yield from get("path/directories", f"/ipfs/{f.cid['blake3']}/dir/file.txt")
    yield from get("path/version-0", *below(v0, "- / /dir/ /dir /dir/file.txt /with-index/ /big.bin"))
    yield from get("path/hamt", hamt, hamt + "/", *below(f"/ipfs/{f.cid['hamt-index']}", "- / /index.html"))
    entries = [*list(f.content["hamt"])[:8], "big.bin", "ź-entry.txt", "not-there"]
    yield from get("path/hamt", *(f"{hamt}/{quote(path)}" for path in entries))
    # A namespace that is there twice.
    yield from get("path/superfluous", f"/ipfs/ipfs/{f.cid['file-readme.txt']}", f"/ipfs/ipns/{f.key['site']}/readme.txt")
    yield from get("path/below-a-file", *below(site, "/readme.txt/ /readme.txt/x"))
    yield from get("path/not-normal", *below(site, "/dir//file.txt //dir/file.txt /dir/./file.txt /dir/../readme.txt %2Freadme.txt"))
    yield from get("path/not-normal", "/ipfs/..", "/ipfs/%2e%2e", "/ipfs", "/ipns")


def links(f):
    site = f"/ipfs/{f.cid['site']}"
    yield from get("path/symlinks", *(f"{site}/{path}" for path in LINKS))
    yield from get("path/symlinks", *below(site, "/links/ /links/to-dir/file.txt /links/to-file?format=raw"))


def conditional(f):
    site, dated = f"/ipfs/{f.cid['site']}", f"/ipfs/{f.cid['dated']}"
    targets = below(site, "/readme.txt /dir/ /with-index/ /readme.txt?format=raw /dir/?format=car")
    targets += [f"/ipfs/{f.cid['file-v0']}", f"/ipfs/{f.cid['dag-cbor']}", *below(f"/ipns/{f.key['site']}", "/readme.txt /dir/")]
    for form in ('"%s"', 'W/"%s"', '"other", "%s"', '"other" , W/"another",\t"%s"', '"not-%s"'):
        yield from get("conditional/etag", *targets, with_etag=("If-None-Match", form))
    anything = below(site, "/readme.txt /dir/ /dir/?format=car /no-such-file")
    yield from both("conditional/any", *anything, headers=header("If-None-Match", "*"))
    for value in ("", "unquoted", '"unclosed', '"a" "b"', ","):
        yield from get("conditional/malformed", f"{site}/readme.txt", headers=header("If-None-Match", value))
    # UnixFS 1.5 has a time of modification: 05:06:07.
    exact, before, later = "Thu, 04 Mar 2021 05:06:07 GMT", "Thu, 04 Mar 2021 05:06:06 GMT", "Fri, 05 Mar 2027 00:00:00 GMT"
    parts = below(dated, "/file.txt /dir/file.html /dir/ /big.bin")
    yield from both("conditional/dates", *parts)
    for date in (exact, before, later, "not a date"):
        yield from get("conditional/dates", *parts, headers=header("If-Modified-Since", date))
    # RFC 9110, section 13.2.2: beside If-None-Match the date does not count.
    yield from get("conditional/dates", f"{dated}/file.txt", headers=(("If-None-Match", '"x"'), ("If-Modified-Since", later)))
    yield from get("conditional/dates", f"{site}/readme.txt", headers=header("If-Modified-Since", later))
    some = ("Range", "bytes=10-19")
    for form in ('"%s"', 'W/"%s"', '"not-%s"'):
        yield from get("conditional/if-range", f"{site}/big.bin", headers=(some,), with_etag=("If-Range", form))
    for date in (exact, before):
        yield from get("conditional/if-range", f"{dated}/big.bin", headers=(some, ("If-Range", date)))


def ranges(f):
    site = f"/ipfs/{f.cid['site']}"
    big = f"{site}/big.bin"
    single = f"""0-0 0-99 {CHUNK - 1}-{CHUNK} {CHUNK}-{2 * CHUNK - 1} {3 * CHUNK - 10}-{7 * CHUNK + 10} {BIG - 1}- {BIG - 1}-{BIG + 99}
        0- -1 -1000 -{BIG} {BIG}- {BIG + 10}-{BIG + 20} 3-5, {BIG // 2}-{BIG // 2} 0-{BIG * 10}"""
    for value in [*single.split(), "", " 3-5 "]:
        yield from get("ranges/single", big, headers=header("Range", f"bytes={value}"))
    yield from get("ranges/no-suffix", big, headers=header("Range", "bytes=-0"))
    yield from get("ranges/long-suffix", big, headers=header("Range", f"bytes=-{BIG + 5}"))
    yield from get("ranges/long-suffix", f"{site}/empty.bin", headers=header("Range", "bytes=-1"))
    for value in "5-4 a-b - 18446744073709551615-18446744073709551616 99999999999999999999-".split():
        yield from get("ranges/malformed", big, headers=header("Range", f"bytes={value}"))
    for value in ("bytes=0-9", "bytes=-7", f"bytes={BIG}-"):
        yield from head("ranges/head", big, headers=header("Range", value))
    for value in ("items=0-5", "bytes 0-5", "0-5", "BYTES=0-5"):
        yield from get("ranges/malformed", big, headers=header("Range", value))
    several = ["0-9,20-29", "0-0,-1", f"{CHUNK - 5}-{CHUNK + 5},{5 * CHUNK}-{5 * CHUNK + 3}", f"0-9,{BIG + 1}-", f"{BIG + 1}-,{BIG + 9}-"]
    for value in [*several, "0-10,5-15", "1-1, 3-3 ,5-5"]:
        yield from get("ranges/several", big, headers=header("Range", f"bytes={value}"))
    for path, values in (("one.txt", "0-0 0- -1 1- 0-5"), ("empty.bin", "0-0 0-")):
        for value in values.split():
            yield from get("ranges/small", f"{site}/{path}", headers=header("Range", f"bytes={value}"))
    kinds = [f"/ipfs/{f.cid[name]}" for name in ("big-v0", "file-readme.txt", "identity")]
    kinds += [f"/ipfs/{f.cid['hamt']}/big.bin", *below(site, "/zeros.bin /page.html /with-index/")]
    yield from get("ranges/kinds", *kinds, headers=header("Range", "bytes=3-12"))
    yield from head("ranges/listing", f"{site}/dir/", headers=header("Range", "bytes=0-9"))
    # A block of the file is missing: around it bytes are to be had.
    for value in (f"0-{5 * CHUNK - 1}", f"{6 * CHUNK}-{7 * CHUNK}", f"{6 * CHUNK}-"):
        yield from get("ranges/missing-block", f"/ipfs/{f.cid['partial']}", headers=header("Range", f"bytes={value}"))


def errors(f):
    site, missing, readme = f"/ipfs/{f.cid['site']}", f"/ipfs/{f.cid['missing']}", f"/ipfs/{f.cid['file-readme.txt']}"
    nowhere = "/no-such-file /dir/no/such /readme.txt/below /no-such-dir/ /no-such-file?format=raw /no-such-file?format=tar"
    yield from both("errors/404", *below(site, nowhere))
    yield from get("errors/400", *below("/ipfs", "/not-a-cid /not-a-cid/file.txt /bafybeiaaaaa /Qm /%00 /bafkrei /"), "/ipns/", site[:-3],
        site + "x")
    yield from get("errors/name-unavailable", "/ipns/not_a_name!", f"/ipns/{f.key['site'][:-4]}")
    yield from both("errors/unavailable", missing)
    yield from get("errors/unavailable", missing + "?format=raw", missing + "?format=tar", f"/ipfs/{f.cid['missing-v0']}/a/b")
    yield from get("errors/unavailable", f"/ipfs/{f.cid['holed']}/b.txt", f"/ipfs/{f.cid['partial-leaf']}")
    for kind in ("application/vnd.ipld.nonsense", "application/vnd.ipfs.nonsense", "application/json; ="):
        yield from get("errors/406", readme, headers=accept(kind))
    yield from get("errors/empty-parameters", readme, headers=accept(f"{CAR};;;"))
    yield from get("errors/format", *below(readme + "?format=", "nonsense - RAW ipns-record dag-pb"))
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        yield Request("errors/405", f"{site}/readme.txt", method)
    scopes = [readme, f"{site}/script.js", f"{site}/", f"/ipns/{f.key['site']}"]
    yield from get("errors/service-worker", *scopes, headers=header("Service-Worker", "script"))


def cors(f):
    asks = ("Access-Control-Request-Method", "GET")
    names = ("Access-Control-Request-Headers", "range, x-requested-with")
    targets = [*below(f"/ipfs/{f.cid['site']}", "/readme.txt /dir/ /dir?format=car"), f"/ipns/{f.key['site']}/readme.txt"]
    yield from get("cors/get", *targets, headers=(ORIGIN,))
    for headers in ((), (ORIGIN, asks), (ORIGIN, asks, names)):
        yield from get("cors/options", *targets, method="OPTIONS", headers=headers)


PARTS = [files, directories, links, conditional, ranges, errors, cors]
