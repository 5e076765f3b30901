"""What depends on the host: subdomain gateway, `_redirects` (which needs an origin of its own), HTTP proxy."""

from urllib.parse import quote

import car
from asked.names import spellings
from asked.short import ORIGIN, below, get, head, header
from exchange import Request
from fixtures import BROKEN_REDIRECTS

PROTOS = ("http", "https")


def redirected(f):
    site, v0, key = f.cid["site"], f.cid["site-v0"], f.key["site"]
    for host in ("example.com", "localhost", "localhost:8080", "example.com:8080"):
        paths = [*below(f"/ipfs/{site}", "- / /readme.txt"), *below(f"/ipfs/{v0}", "- /dir/"), f"/ipns/{key}/readme.txt"]
        yield from get("subdomain/redirect", *paths, host=host)
        yield from get("subdomain/content", "/readme.txt", host=f"{site}.ipfs.{host}")
    polish = "/" + quote("ą/ę/file-źł.txt")
    queries = "/dir?a=b&c=d /readme.txt?filename=x.txt&download=true ?format=car&dag-scope=block"
    paths = below(f"/ipfs/{site}", f"{polish} /names/per%25cent.txt {queries}")
    paths += [f"/ipfs/{f.cid[name]}" for name in ("sha512", "dag-cbor", "identity")]
    paths += ["/ipfs/not-a-cid", f"/ipfs/{car.in_base36(site)}/readme.txt", f"/ipfs/{f.cid['file-readme.txt']}?format=raw"]
    paths += [f"/ipns/{text}/" for text in spellings(key)] + [f"/ipns/{spellings(f.key['rsa'])[2]}/dir/", f"/ipns/{site}/"]
    paths += below("/ipns/", "site.dnslink.test site.dnslink.test/dir/ with-dash.dnslink.test/")
    # Inlined, this name is longer than a label may be.
    paths += ["/ipns/a-very-long-label-for-a-name-with-many-parts.and-another.dnslink.test/", "/ipfs/", "/ipns/", "/", "/nothing"]
    yield from get("subdomain/redirect", *paths, host="example.com")
    handlers = [
        f"/ipfs/?uri=ipfs%3A%2F%2F{site}%2Freadme.txt", f"/ipns/?uri=ipns%3A%2F%2F{key}%2Fdir%2F%3Fa%3Db",
        "/ipfs/?uri=https%3A%2F%2Fexample.net%2F", "/ipfs/?uri=%3A%3A", "/ipfs/?uri=ipns%3A%2F%2Fsite.dnslink.test",
    ]
    yield from get("subdomain/uri", *handlers, host="example.com")
    yield from get("path/uri", *handlers)


def forwarded(f):
    site, group = f.cid["site"], "subdomain/forwarded"
    paths = [f"/ipfs/{site}/readme.txt", f"/ipns/{f.key['site']}/", "/ipns/with-dash.dnslink.test/"]
    as_host = ("X-Forwarded-Host", "example.com")
    yield from get(group, *paths, host="fake.internal", headers=(as_host,))
    yield from get(group, paths[0], host="fake.internal")
    for proto in (("X-Forwarded-Proto", name) for name in PROTOS):
        yield from get(group, *paths, host="example.com", headers=(proto,))
        yield from get(group, paths[0], host="fake.internal", headers=(as_host, proto))
        own = ("X-Forwarded-Host", f"{site}.ipfs.example.com")
        yield from get("subdomain/forwarded-label", "/readme.txt", host="fake.internal", headers=(own, proto))
        yield from get(group, "/readme.txt", host="with--dash-dnslink-test.ipns.example.com", headers=(proto,))


def subdomains(f):
    site, key = f.cid["site"], f.key["site"]
    group, host, polish = "subdomain/content", f"{site}.ipfs.example.com", "/" + quote("ą/ę")
    paths = f"""/ /readme.txt /dir/ /dir /dir/sub/deep/file.txt /with-index/ /with-index {polish} {polish}/{quote("file-źł.txt")}
        /no-such-file /ipfs/{site} /ipfs/file.txt /ipns/file.txt /ipfs/ /api/v0/id /links/to-file /big.bin /names/ /names/two%20words.txt
        /readme.txt?format=raw /dir?format=car&dag-scope=block /dir?format=tar /readme.txt?filename=n.txt&download=true"""
    yield from get(group, *paths.split(), host=host)
    # Paths that our own API has: on this host they belong to the content.
    yield from get(group, "/healthz", "/api/v1/nodes", "/metrics", host=host)
    yield from head(group, "/readme.txt", host=host)
    yield from get(group, "/big.bin", host=host, headers=header("Range", "bytes=7-70000"))
    yield from get(group, "/readme.txt", host=host, with_etag=("If-None-Match", '"%s"'))
    preflight = (ORIGIN, ("Access-Control-Request-Method", "GET"))
    yield from get(group, "/readme.txt", method="OPTIONS", host=host, headers=preflight)
    yield from get(group, "/readme.txt", host=host, headers=(ORIGIN,))
    yield from get(group, "/readme.txt", method="POST", host=host)
    yield from get(group, "/", host=host, headers=header("Service-Worker", "script"))
    labels = [(f.cid["site-v0"], "/readme.txt"), (car.in_base32(f.cid["site-v0"]), "/readme.txt"), (car.in_base36(site), "/readme.txt")]
    labels += [(f.cid["file-page.html"], "/"), (f.cid["dag-cbor"], "/"), (f.cid["dag-cbor"], "/inner"), (f.cid["json"], "/")]
    labels += [(car.in_base36(f.cid["sha512"]), "/"), (f.cid["identity"], "/"), ("not-a-cid", "/"), (site.upper(), "/readme.txt")]
    for label, path in [*labels, (f.cid["hamt-index"], "/")]:
        yield from get("subdomain/labels", path, host=f"{label}.ipfs.example.com")
    yield from get("subdomain/unavailable", "/", host=f"{f.cid['missing']}.ipfs.example.com")
    names = [(key, "/"), (key, "/readme.txt"), (key, "/dir"), (car.in_base32(key), "/readme.txt"),
        (car.in_base36(key, 0x70), "/readme.txt")]
    names += [(f.key["rsa"], "/dir/"), (f.key["sub"], "/file.txt"), (f.key["chain"], "/readme.txt"), (f.key["dag"], "/")]
    names += [("site.dnslink.test", "/readme.txt"), ("site-dnslink-test", "/readme.txt"), ("site-dnslink-test", "/dir")]
    names += [("with--dash-dnslink-test", "/"), ("with-dash.dnslink.test", "/"), ("over--ipns-dnslink-test", "/readme.txt")]
    for label, path in [*names, ("chain-dnslink-test", "/dir/")]:
        yield from get("subdomain/ipns", path, host=f"{label}.ipns.example.com")
    yield from get("subdomain/ipns-unavailable", "/", host=f"{f.key['unknown']}.ipns.example.com")


def redirects(f):
    cid = f.cid["redirects"]
    origins = (f"{cid}.ipfs.example.com", "redirects.dnslink.test", f"{f.key['redirects']}.ipns.example.com")
    paths = """/plain /r301 /r302 /r303 /r307 /r308 /rewrite /rewrite-missing /posts/2024/05/title /posts/2024/05
        /splat/one.html /splat/a/b/c /splat/ /splat /elsewhere /with-query /exists.html /first /plain?b=2 /with-query?b=2 /no-rule /
        /plain/ /rewritten/inside.txt /rewritten/none.txt /%C3%BCmlaut /PLAIN /posts/2024/05/t%20t /posts/2024/05/%C4%85
        /lost-missing/x /_redirects"""
    yield from get("redirects/subdomain", *paths.split(), host=origins[0])
    yield from get("redirects/subdomain", "/gone/x", "/unavailable/x", "/lost/x", host=origins[0], content=True)
    yield from get("redirects/not-normal", "/splat/%C4%85/%2Fb", host=origins[0])
    for host in origins[1:]:
        yield from get("redirects/names", "/plain", "/rewrite", "/no-rule", "/splat/a", "/exists.html", host=host)
        yield from get("redirects/names", "/gone/x", "/lost/x", host=host, content=True)
    for host in (f"{f.cid['spa']}.ipfs.example.com", "spa.dnslink.test", "spa-dnslink-test.ipns.example.com"):
        group = "redirects/application"
        yield from get(group, "/", "/missing-page", "/deep/er/page", "/asset.js", host=host)
        yield from get(group, "/api/none", host=host, content=True)
        yield from get(group, "/missing-page", host=host, with_etag=("If-None-Match", '"%s"'))
        yield from head(group, "/missing-page", host=host)
    for name in BROKEN_REDIRECTS:
        host = f"{f.cid['redirects-' + name]}.ipfs.example.com"
        group = f"redirects/{name}" if name == "placeholder-twice" else "redirects/odd-files"
        yield from get(group, "/found.html", "/none", "/plain", host=host)
    # Without an origin of its own a site has no rules; with another format than the default there are none either.
    yield from get("redirects/path", *below(f"/ipfs/{cid}", "/plain /_redirects"))
    yield from get("redirects/formats", "/plain?format=raw", "/plain?format=car", host=origins[0])


def proxy(f):
    site = f.cid["site"]
    asked = [(f"{site}.ipfs.example.com", path) for path in ("/readme.txt", "/dir/", "/ipfs/file.txt")]
    asked += [("example.com", f"/ipfs/{f.cid['site-v0']}/"), ("example.com", f"/ipfs/{site}/readme.txt")]
    asked += [(f"{f.key['site']}.ipns.example.com", "/readme.txt"), ("site.dnslink.test", "/readme.txt")]
    asked += [(f"{car.in_base36(f.cid['sha512'])}.ipfs.example.com", "/"), (f"{site}.ipfs.localhost", "/dir/sub/deep/file.txt")]
    for way in ("proxy", "tunnel", "own"):
        for host, path in asked:
            yield Request(f"proxy/{way}", path, host=host, way=way)


PARTS = [redirected, forwarded, subdomains, redirects, proxy]
