"""How long the first byte of a range takes: `ranges.py URL SIZE SECONDS`, on one connection, a request each 10 ms.

Prints count, p50, p99 and the longest, in milliseconds from the last byte of the request to the first of the body.
"""

import http.client
import random
import sys
import time
import urllib.parse

LENGTH = 65536
PACE_S = 0.01

url, size, seconds = urllib.parse.urlsplit(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
connection = http.client.HTTPConnection(url.netloc, timeout=60)
rng, waits = random.Random(1), []
end = time.perf_counter() + seconds
while time.perf_counter() < end:
    first = rng.randrange(size - LENGTH)
    begun = time.perf_counter()
    connection.request("GET", url.path, headers={"Range": f"bytes={first}-{first + LENGTH - 1}"})
    answer = connection.getresponse()
    data = answer.read(1)
    waits.append((time.perf_counter() - begun) * 1000)
    data += answer.read()
    assert answer.status == 206 and len(data) == LENGTH, (answer.status, len(data))
    time.sleep(max(0.0, PACE_S - (time.perf_counter() - begun)))
waits.sort()
at = lambda part: waits[min(len(waits) - 1, int(len(waits) * part))]
print(f"{len(waits)} ranges, first byte p50 {at(0.5):.1f} ms, p99 {at(0.99):.1f} ms, longest {waits[-1]:.1f} ms")
