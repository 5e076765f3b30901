"""Whether two answers say the same, and where they may differ.

Every tolerated difference is in this file, has a name, and is counted in the output under it.
"""

import email.parser
import io
import re
import tarfile
import urllib.parse
from html import unescape as html_unescape

import car

# The headers that the specifications of gateways name (path, trustless, subdomain, DNSLink; their caching and CORS parts).
CONTENT = [
    "accept-ranges", "cache-control", "content-disposition", "content-encoding", "content-length", "content-location",
    "content-range", "content-type", "etag", "last-modified", "location", "retry-after", "vary", "x-content-type-options",
    "x-ipfs-path", "x-ipfs-roots", "x-stream-error",
]
CORS = ["access-control-allow-origin", "access-control-allow-methods", "access-control-allow-headers", "access-control-expose-headers"]
# Of an error the specifications fix the status alone, and of a wrong method what is allowed.
OF_ERRORS = ["allow", "content-range", "location", "retry-after"]
# A redirect is its status and where it leads. Kubo's short page about it is no part of that.
OF_REDIRECTS = ["cache-control", "location", "vary"]

DIR_INDEX = re.compile(r'"DirIndex-[^_"]*_CID-')
DAG_INDEX = re.compile(r'"DagIndex-[^_"]*_CID-')
CAR_TAG = re.compile(r'\.car\.[0-9a-z]+"$')
RECORD_TAG = re.compile(r"[0-9a-z]+")
OLD_NAME = re.compile(r' filename="[^"]*";')
UNKNOWN = re.compile(r"&?(car-unknown|raw-q)=[^&]*")
MAX_AGE = re.compile(r"max-age=(\d+)")


def compare(request, theirs, ours):
    """(differences, names of the tolerated ones). `theirs` is Kubo's answer."""
    found, tolerated = [], []
    if theirs.status != ours.status:
        if _status(request, theirs, ours, tolerated):
            return [], tolerated
        return [f"status: {theirs.status}, ours {ours.status}{f' ({ours.broken})' if ours.broken else ''}"], tolerated
    if theirs.broken and not ours.broken and request.group == "conditional/if-range":
        # Kubo announces the whole file and sends it without the range that the condition forbade.
        tolerated.append("a whole file in which Kubo leaves out the range")
    elif bool(theirs.broken) != bool(ours.broken):
        found.append(f"end of the body: {theirs.broken or 'whole'}, ours {ours.broken or 'whole'}")
    if theirs.status == 206 and "multipart" in theirs.headers.get("content-type", "") + ours.headers.get("content-type", ""):
        return found + _multipart(theirs, ours, tolerated), tolerated
    for name in _named(request, theirs):
        _header(name, request, theirs, ours, found, tolerated)
    if not (theirs.broken or ours.broken):
        _body(request, theirs, ours, found, tolerated)
    return found, sorted(set(tolerated))


def _named(request, answer):
    if request.method == "OPTIONS":
        return CORS + ["allow"]
    if answer.status >= 400 and not request.content:
        return OF_ERRORS
    if answer.status in (301, 302, 303, 307, 308):
        return OF_REDIRECTS
    if answer.status == 304:
        return ["cache-control", "content-location", "etag", "vary"]
    return CONTENT + (CORS if ("Origin", "https://app.example") in request.headers else [])


# Statuses that may stand for each other: (name, end of the group's name, statuses). A pair counts only if both are named.
STATUS_RULES = [
    # A name that does not resolve, a record that does not verify, a block that is not there: the specifications leave the
    # choice. A CAR may have begun before that is known; then it has to end as broken.
    ("which error tells that content or a name is unavailable", "unavailable", {200, 400, 404, 500, 502, 503, 504}),
    # RFC 9110, section 14.2: a server may ignore Range, and has to ignore a unit that it does not know. Kubo says 400.
    ("what becomes of a Range that is none", "ranges/malformed", {200, 206, 400, 416}),
    # RFC 9110, section 14.1.2: more than there is means everything. Kubo says 500.
    ("a suffix longer than the file", "ranges/long-suffix", {200, 206, 416, 500}),
    # Kubo redirects to the path without `//`, `.` and `..`.
    ("what becomes of a path that is not in normal form", "not-normal", {200, 301, 302, 307, 308, 400, 404}),
    # The specification: the same placeholder twice in `from` is an error (web redirects file, "Placeholders").
    ("a rule with a placeholder twice, which is an error", "redirects/placeholder-twice", {200, 302, 404, 500}),
    # RFC 9110, section 14.1.2: the last 0 bytes cannot be had. Kubo gives 206 with all bytes of the file.
    ("a suffix of no bytes", "ranges/no-suffix", {206, 416}),
    # Section 5.6.6: parameters may be empty.
    ("empty parameters of a media type", "errors/empty-parameters", {200, 400}),
    # What is asked for cannot be had; Kubo then gives the content as it is, in another form than the one asked for.
    ("406 where Kubo gives another form than the one asked for", "path/conversion", {200, 406}),
    # "SHOULD return 400 when the requested range is entirely outside" (trustless gateway, entity-bytes).
    ("400 for entity-bytes outside of the file", "trustless/car-bytes-outside", {200, 400}),
    # The key `a/b` is there, and leads into a value. Kubo looks for `b` below `a`.
    ("a slash within a key", "path/traversal-slash", {404, 501}),
    # Kubo answers a request for a subdomain with a redirect to itself.
    ("a forwarded subdomain", "subdomain/forwarded-label", {200, 301}),
    # "MUST" be a CID whose text survives lower case; Kubo serves what a browser cannot ask for.
    ("a redirect to the canonical label", "subdomain/labels", {200, 301}),
    # Kubo's tag of a record is no quoted string, so that If-None-Match never meets it.
    ("304 for a record", "trustless/record", {200, 304}),
    # 406 says the same more exactly.
    ("400 or 406 for a format that is not to be had", "errors/406", {400, 406}),
    ("400 or 406 for a format that is not to be had", "path/codecs", {400, 406}),
    # Kubo answers 500 or 422, though the request is at fault or could be answered.
    ("a request over which Kubo stumbles", "kubo-stumbles", {200, 206, 400, 404, 406, 415, 422, 500, 501}),
]


def _status(request, theirs, ours, tolerated):
    # RFC 9110, section 14.2: Kubo answers the first of several ranges alone.
    if _several_ranges(request) and theirs.status == 206 and ours.status == 200:
        tolerated.append("several ranges: the first, all of them or the whole")
        return True
    # RFC 9110, section 14.2: "A server MUST ignore a Range header field received with a request method that is unrecognized
    # or for which range handling is not defined. For this specification, GET is the only method".
    if request.method == "HEAD" and ours.status == 200 and theirs.status in (206, 416) and any(
            name == "Range" for name, _ in request.headers):
        tolerated.append("Range of HEAD, which is defined for GET alone")
        return True
    # A trustless gateway "MUST return 404 when the root block is not available"; Kubo gives the head of an archive.
    if request.group == "trustless/car-unavailable" and theirs.status == 200 and ours.status in (404, 504):
        tolerated.append("an archive whose root cannot be had")
        return True
    for name, group, statuses in STATUS_RULES:
        # 200 in place of an error is the broken answer.
        whole = [answer for answer in (theirs, ours) if answer.status == 200 and not answer.broken and group == "unavailable"]
        if request.group.endswith(group) and {theirs.status, ours.status} <= statuses and not whole:
            tolerated.append(name)
            return True
    return False


def _several_ranges(request):
    return any(name == "Range" and "," in value for name, value in request.headers)


def _header(name, request, theirs, ours, found, tolerated):
    left, right = theirs.headers.get(name), ours.headers.get(name)
    if left == right:
        return
    for rule, tolerate in HEADER_RULES:
        if tolerate(name, left, right, request, theirs, ours):
            tolerated.append(rule)
            return
    found.append(f"{name}: {left}, ours {right}")


def _listing(answer):
    return answer.headers.get("etag", "").removeprefix("W/").startswith('"DirIndex-')


def _dag_page(answer):
    return answer.headers.get("etag", "").removeprefix("W/").startswith('"DagIndex-')


def _page(answer):
    return _listing(answer) or _dag_page(answer)


def _sets(left, right):
    split = lambda text: {part.strip().lower() for part in (text or "").split(",") if part.strip()}
    return split(left), split(right)


def _near(left, right):
    """Equal but for seconds that passed between the two requests."""
    numbers = [MAX_AGE.findall(text or "") for text in (left, right)]
    same = MAX_AGE.sub("", left or "") == MAX_AGE.sub("", right or "")
    return same and len(numbers[0]) == len(numbers[1]) == 1 and abs(int(numbers[0][0]) - int(numbers[1][0])) <= 90


HEADER_RULES = [
    # The pages that a gateway writes itself (directory listings, previews of nodes) are each gateway's own, so their
    # version and length are.
    ("the Etag's version of a page of the gateway's own", lambda name, left, right, *_: name == "etag" and left and right and (
        DIR_INDEX.sub("", left) == DIR_INDEX.sub("", right) if DIR_INDEX.search(left) else
        bool(DAG_INDEX.search(left)) and DAG_INDEX.sub("", left) == DAG_INDEX.sub("", right))),
    ("the length of a page of the gateway's own", lambda name, l, r, q, theirs, ours: name == "content-length" and _page(theirs)
    and _page(ours)),
    # Kubo streams CARs and TARs in chunks. Who knows the length beforehand may say it.
    ("a length where Kubo streams", lambda name, left, right, q, theirs, ours: name == "content-length" and left is None and
        right is not None and (q.method == "HEAD" or int(right) == len(ours.body))),
    # Lists of allowed and exposed headers and methods: more is no harm, less would be.
    ("more headers or methods named for CORS", lambda name, left, right, *_: name.startswith("access-control-") and
        right is not None and _sets(left, right)[0] <= _sets(left, right)[1]),
    # `GET, HEAD, OPTIONS` in another order or letter case.
    ("the order of Allow", lambda name, left, right, *_: name == "allow" and right is not None
    and _sets(left, right)[0] <= _sets(left, right)[1]),
    # RFC 9110, section 12.5.5: Kubo names none; an answer that depends on Accept should name it.
    ("Vary where Kubo names none", lambda name, left, right, *_: name == "vary" and left is None),
    # Of a mutable path: seconds pass between the two requests.
    ("seconds of a record's remaining life", lambda name, left, right, q, *_: name == "cache-control" and _near(left, right) and
        ("/ipns/" in q.target or q.host is not None)),
    # Of a mutable path Kubo gives the time of the request where nothing better is known.
    ("Last-Modified without a meaning", lambda name, left, right, q, *_: name == "last-modified"
    and ("/ipns/" in q.target or q.host is not None)),
    ("several ranges: the first, all of them or the whole", lambda name, left, right, q, *_: _several_ranges(q) and
        name in ("content-range", "content-length", "content-type")),
    # Kubo answers HEAD of a listing, and with `only-if-cached`, without any of them.
    ("headers that Kubo leaves out of HEAD", lambda name, left, right, q, theirs, ours: q.method == "HEAD" and left is None and
        "etag" not in theirs.headers),
    # WHATWG Fetch: the type that is named is the type. Kubo says so only of what it does not show.
    ("X-Content-Type-Options where Kubo names none", lambda name, left, right, *_: name == "x-content-type-options"
    and left is None and right == "nosniff"),
    # RFC 9110, section 8.8.3: an entity tag is opaque. Where it is not the CID alone each gateway has its own; it is one or none,
    # weak or strong, alike. Kubo's of a record is not even quoted.
    ("the hash in the Etag of an archive or a record", lambda name, left, right, *_: name == "etag" and left and right and (
        CAR_TAG.sub("", left) == CAR_TAG.sub("", right) if CAR_TAG.search(left) else
        RECORD_TAG.fullmatch(left) is not None and ".ipns-record." in right)),
    # Go counts the bytes of a short answer; of a stream nobody does.
    ("a length where we stream", lambda name, left, right, q, theirs, ours: name == "content-length" and right is None and
        left is not None and len(theirs.body) < 4096 and any(kind in theirs.headers.get("content-type", "") for kind in (
        "vnd.ipld.car", "x-tar"))),
    # RFC 9110, section 5.5: fields are ASCII. The same path, percent-encoded; a label's letters in lower case.
    ("X-Ipfs-Path in ASCII", lambda name, left, right, q, *_: name == "x-ipfs-path" and left and right and (
        urllib.parse.unquote(right).encode() == left.encode("latin-1") or (q.group == "subdomain/labels"
        and left.lower() == right.lower()))),
    # RFC 6266: `filename*` decides; what stands in `filename` for readers from before 2010 differs.
    ("the older parameter of Content-Disposition", lambda name, left, right, *_: name == "content-disposition" and left and right
    and OLD_NAME.sub("", left) == OLD_NAME.sub("", right)),
    # `?download=true` without a name.
    ("a download without a name", lambda name, left, right, *_: name == "content-disposition" and left is None
    and right == "attachment"),
    # The order in which blocks come depth first is also one of those that `unk` allows.
    ("order=dfs where any order was asked for", lambda name, left, right, *_: name == "content-type" and left is not None
    and left.replace("order=unk", "order=dfs") == right),
    # Kubo repeats what it did not understand of Accept as parameters of the query.
    ("unknown parameters in Content-Location", lambda name, left, right, *_: name == "content-location" and left and right
    and UNKNOWN.sub("", left).replace("?&", "?") == right),
    # 304 to `If-None-Match: *` comes before Kubo knows that this is a listing.
    ("the head of 304 for any version of a listing", lambda name, left, right, q, theirs, ours: theirs.status == 304 and
        ("If-None-Match", "*") in q.headers and name in ("etag", "cache-control") and "DirIndex" in ours.headers.get("etag", "")),
    # Kubo's preview of a node may be kept by nobody, its redirect to there for good.
    ("how long a node's preview is fresh", lambda name, left, right, q, theirs, ours: name == "cache-control" and
        ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8") in q.headers and None in (left, right)),
    # A name told by configuration has no time to live; Kubo takes that of the record it leads to.
    ("the life of a name that has none", lambda name, left, right, q, *_: name == "cache-control" and right is None and
        re.search("over--?ipns", q.target + (q.host or ""))),
    # A page that a website's rules show instead is as fresh as the website.
    ("the life of a page shown instead", lambda name, left, right, q, theirs, *_: name == "cache-control" and left is None and
        theirs.status in (404, 410, 451) and q.group == "redirects/names"),
    # RFC 3986: a URL has no spaces, and `%c4` is `%C4`.
    ("Location percent-encoded", lambda name, left, right, *_: name == "location" and left and right and
        urllib.parse.unquote(left) == urllib.parse.unquote(right)),
    # Kubo looks at the bytes of the range, as if they were the beginning of the file.
    ("the type of a range of a file without a name", lambda name, left, right, q, *_: name == "content-type" and
        q.group == "ranges/kinds" and left is not None and left.startswith("text/plain") and right == "application/octet-stream"),
    # Kubo encodes the percent sign of a query's value once more.
    ("a query that Kubo encodes twice", lambda name, left, right, *_: name == "location" and left and right and
        left.replace("%25", "%") == right),
    # A header whose value has no effect where there are no bytes.
    ("Accept-Ranges of a page of the gateway's own", lambda name, l, r, q, theirs, ours: name == "accept-ranges" and _page(theirs)
    and _page(ours)),
]


def _body(request, theirs, ours, found, tolerated):
    if request.method == "HEAD":
        if ours.body:
            found.append(f"body: {len(ours.body)} bytes answer HEAD")
        return
    if request.method == "OPTIONS" or theirs.status in (301, 302, 303, 307, 308, 304):
        return
    if theirs.status >= 400 and not request.content:
        tolerated.append("the text of an error")
        return
    if theirs.body == ours.body:
        return
    if _several_ranges(request):
        return
    if _listing(theirs) and _listing(ours):
        left, right = _links(theirs.body), _links(ours.body)
        # `%2b` and `%2B`, `%27` and `'`: where they lead. Kubo encodes some names behind `?filename=` twice.
        if _led(left) <= _led(right):
            tolerated.append("the HTML of a directory listing beyond its links")
        else:
            found.append(f"links of the listing: {sorted(left - right)[:5]} are missing")
        return
    if _dag_page(theirs) and _dag_page(ours):
        tolerated.append("the HTML of a node's preview")
        return
    if "x-tar" in theirs.headers.get("content-type", ""):
        left, right = _tar(theirs.body), _tar(ours.body)
        if left == right:
            tolerated.append("a TAR's bytes beyond names, kinds, modes, links and contents")
        else:
            found.append(f"TAR: {_first_difference(left, right)}")
        return
    if "vnd.ipld.car" in theirs.headers.get("content-type", ""):
        if request.group == "trustless/car-bytes" and "dag-scope" not in request.target and _fewer(theirs.body, ours.body):
            # "It implies dag-scope=entity": Kubo gives the whole DAG unless that is said as well. Where it is said both are compared.
            tolerated.append("entity-bytes without dag-scope")
            return
        found.append(f"CAR: {_blocks(theirs.body)}, ours {_blocks(ours.body)}")
        return
    found.append(f"body: {_short(theirs.body)}, ours {_short(ours.body)}")


def _links(html):
    """Where a listing leads, of which no link may be missing. Links of the page's own furniture are whole URLs."""
    return {html_unescape(target) for target in re.findall(r'href="([^"]*)"', html.decode(errors="replace")) if target.startswith("/")}


def _led(links):
    return {urllib.parse.unquote(link.split("?")[0]) for link in links}


def _tar(data):
    try:
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            return [(m.name, m.type, m.linkname, m.mode & 0o777, archive.extractfile(m).read() if m.isfile() else b"") for m in archive]
    except (tarfile.TarError, EOFError) as error:
        return [(f"unreadable: {error}", b"", "", 0, b"")]


def _first_difference(left, right):
    for one, two in zip(left, right):
        if one != two:
            return f"{one[0]} {one[1:4]} {len(one[4])} bytes, ours {two[0]} {two[1:4]} {len(two[4])} bytes"
    return f"{len(left)} entries, ours {len(right)}"


def _blocks(data):
    try:
        names = [car.cid_text(cid)[-8:] if cid[0] != 0x12 else car.base_x(cid, car.BASE58)[-8:] for cid, _ in car.read(data)]
    except (ValueError, IndexError) as error:
        return f"unreadable ({error or 'cut off'}), {len(data)} bytes"
    return f"{len(names)} blocks {' '.join(names[:12])}{' ...' if len(names) > 12 else ''}"


def _fewer(left, right):
    """Whether both are archives, and every block of the second is in the first."""
    try:
        return {cid for cid, _ in car.read(right)} < {cid for cid, _ in car.read(left)}
    except (ValueError, IndexError):
        return False


def _short(data):
    return f"{len(data)} bytes {data[:40]!r}"


def _multipart(theirs, ours, tolerated):
    """Several ranges: each part of ours has to hold what its Content-Range says; Kubo's answer gives one of them."""
    parts = _parts(ours) if "multipart" in ours.headers.get("content-type", "") else [(ours.headers.get("content-range"), ours.body)]
    known = dict(_parts(theirs) if "multipart" in theirs.headers.get("content-type", "") else [(theirs.headers.get("content-range"),
        theirs.body)])
    if not any(place in known for place, _ in parts):
        return [f"ranges: {sorted(known)}, ours {[place for place, _ in parts]}"]
    wrong = [place for place, data in parts if known.get(place, data) != data]
    if wrong:
        return [f"range {wrong[0]} has other bytes"]
    tolerated.append("several ranges: the first, all of them or the whole")
    return []


def _parts(answer):
    head = f"Content-Type: {answer.headers['content-type']}\r\n\r\n".encode()
    message = email.parser.BytesParser().parsebytes(head + answer.body)
    # latin-1 keeps every byte; `get_payload(decode=True)` would normalise line ends of text parts.
    boundary = message.get_boundary().encode()
    parts = []
    for piece in answer.body.split(b"--" + boundary)[1:-1]:
        headers, _, data = piece.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        place = re.search(rb"(?im)^content-range:\s*([^\r\n]+)", headers)
        parts.append((place[1].decode().strip() if place else None, data.removesuffix(b"\r\n")))
    return parts
