"""The requests: each over the fixtures of `fixtures.py`, in the group of the specification that it belongs to."""

from asked import formats, hosts, names, paths


def everything(fixtures):
    return [request for part in (paths, formats, names, hosts) for function in part.PARTS for request in function(fixtures)]
