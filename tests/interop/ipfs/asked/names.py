"""Names: records of the name system, paths below /ipns/, DNSLink."""

from urllib.parse import quote

import car
from asked.short import HTML, ORIGIN, RECORD, accept, below, both, get, head, header


def spellings(key):
    """The name as a CID in base36 and in base32, and as the multihash that old clients use."""
    return [key, car.in_base32(key), car.base_x(car.v1(key)[1], car.BASE58)]


def records(f):
    group = "trustless/record"
    for name in ("site", "sub", "rsa", "chain", "short"):
        yield from get(group, *(f"/ipns/{text}?format=ipns-record" for text in spellings(f.key[name])))
        yield from get(group, f"/ipns/{f.key[name]}", headers=accept(RECORD))
        yield from head(group, f"/ipns/{f.key[name]}?format=ipns-record")
    site = f"/ipns/{f.key['site']}"
    yield from get(group, *below(site + "?format=ipns-record", "&filename=named.bin &filename=%C5%BA"))
    yield from get(group, site + "?format=ipns-record", with_etag=("If-None-Match", '"%s"'))
    yield from get(group, site + "/readme.txt?format=ipns-record", "/ipns/site.dnslink.test?format=ipns-record")
    for name in ("unknown", "broken"):
        yield from get("trustless/record-unavailable", f"/ipns/{f.key[name]}?format=ipns-record")


def ipns(f):
    site = f"/ipns/{f.key['site']}"
    paths = {
        "site": "- / /readme.txt /dir/ /dir /with-index/ /no-such-file /big.bin", "sub": "/ /file.txt /sub/deep/file.txt",
        "chain": "/ /readme.txt", "rsa": "/readme.txt /dir/", "dag": "- /inner", "short": "-", "file": "-",
    }
    for name, some in paths.items():
        yield from both("path/ipns", *below(f"/ipns/{f.key[name]}", some))
    formats = "format=raw format=car format=car&dag-scope=block format=tar filename=x.txt&download=true"
    yield from get("path/ipns", *below(site + "/readme.txt?", formats))
    yield from get("path/ipns", site + "/big.bin", headers=header("Range", "bytes=5-9"))
    yield from get("path/ipns", f"/ipns/{f.key['dag']}", headers=accept(HTML))
    # A CID of content is no name.
    yield from get("path/ipns-unavailable", f"/ipns/{f.cid['site']}/readme.txt")
    for name in ("site", "rsa"):
        _, base32, multihash = spellings(f.key[name])
        yield from get("path/ipns-spellings", *below(f"/ipns/{multihash}", "- / /readme.txt /readme.txt?filename=a"))
        yield from get("path/ipns-spellings", f"/ipns/{base32}/readme.txt")
        # The codec of DAG-PB, as names had before they had one of their own: on a subdomain Kubo redirects, here it says 500.
        yield from get("path/kubo-stumbles", f"/ipns/{car.in_base36(f.key[name], 0x70)}/readme.txt")
    for name in ("unknown", "broken", "missing"):
        yield from get("path/ipns-unavailable", *below(f"/ipns/{f.key[name]}", "- /readme.txt"))


def dnslink(f):
    polish = "/" + quote("ą/ę") + "/"
    paths = {
        "site": f"""/ /readme.txt /dir/ /dir /with-index/ /with-index /no-such-file /ipfs/file.txt /ipns/file.txt /api/v0/id
            /big.bin {polish}""",
        "sub": "/ /file.txt", "over-ipns": "/readme.txt", "chain": "/readme.txt", "file": "/", "v0": "/readme.txt", "with-dash": "/",
    }
    for name, some in paths.items():
        yield from get("dnslink/host", *some.split(), host=f"{name}.dnslink.test")
        yield from get("path/dnslink", *below(f"/ipns/{name}.dnslink.test", some))
    for path in ("/readme.txt", "/dir/"):
        yield from head("dnslink/host", path, host="site.dnslink.test:8080")
        yield from get("dnslink/host", path, host="gateway.internal", headers=header("X-Forwarded-Host", "site.dnslink.test"))
        yield from get("dnslink/host", path, host="site.dnslink.test", with_etag=("If-None-Match", '"%s"'))
    formats = "format=raw format=car&dag-scope=entity format=tar filename=n.txt"
    yield from get("dnslink/host", *below("/readme.txt?", formats), host="site.dnslink.test")
    yield from get("dnslink/host", "/readme.txt", method="OPTIONS", host="site.dnslink.test", headers=(ORIGIN,))
    yield from get("dnslink/unavailable", "/", host="missing.dnslink.test")


PARTS = [records, ipns, dnslink]
