"""Short forms for tables of requests."""

from exchange import Request

RAW, CAR, TAR = "application/vnd.ipld.raw", "application/vnd.ipld.car", "application/x-tar"
DAG_JSON, DAG_CBOR = "application/vnd.ipld.dag-json", "application/vnd.ipld.dag-cbor"
RECORD = "application/vnd.ipfs.ipns-record"
# What a browser sends.
HTML = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
ORIGIN = ("Origin", "https://app.example")


def accept(kind):
    return (("Accept", kind),)


def header(name, value):
    return ((name, value),)


def get(group, *targets, **more):
    return [Request(group, target, **more) for target in targets]


def head(group, *targets, **more):
    return get(group, *targets, method="HEAD", **more)


def both(group, *targets, **more):
    """GET and HEAD."""
    return [request for target in targets for request in get(group, target, **more) + head(group, target, **more)]


def below(root, paths):
    """The paths, separated by blanks, below a root; `-` is the root itself."""
    return [root + ("" if path == "-" else path) for path in paths.split()]
