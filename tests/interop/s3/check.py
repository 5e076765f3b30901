"""A gateway whose blocks lie in a bucket: uploads, ranges, kill -9, another gateway on the same prefix, collections.

    check.py RUSTDHT moto|versitygw SERVER TMP
"""

import hashlib
import json
import os
import pathlib
import random
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

RUSTDHT, KIND, SERVER, TMP = sys.argv[1:5]
KEY, SECRET = "AKTESTKEY", "a-secret-that-no-log-may-show"
WORK = pathlib.Path(TMP) / KIND
WORK.mkdir()


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def call(method, url, body=None, headers=()):
    request = urllib.request.Request(url, data=body, method=method, headers=dict(headers))
    with urllib.request.urlopen(request, timeout=120) as answer:
        return answer.read()


def wait(what, holds):
    for _ in range(300):
        try:
            if holds():
                return
        except (urllib.error.URLError, ConnectionError):
            pass
        time.sleep(0.1)
    raise SystemExit(f"error: {what} did not happen within 30 s")


def start_server():
    port = free_port()
    log = open(WORK / "server.log", "wb")
    if KIND == "moto":
        command = [SERVER, "-H", "127.0.0.1", "-p", str(port)]
        environment = dict(os.environ)
    else:
        (WORK / "data" / "blobs").mkdir(parents=True)
        (WORK / "meta").mkdir()
        command = [SERVER, "--port", f"127.0.0.1:{port}", "posix", "--sidecar", str(WORK / "meta"), str(WORK / "data")]
        environment = dict(os.environ, ROOT_ACCESS_KEY=KEY, ROOT_SECRET_KEY=SECRET)
    process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)

    def answers():
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True

    wait(f"{KIND} listens", answers)
    if KIND == "moto":
        call("PUT", f"http://127.0.0.1:{port}/blobs")
    return process, f"http://127.0.0.1:{port}"


class Ended(Exception):
    """The gateway did not start; what it said."""


class Gateway:
    def __init__(self, folder, endpoint):
        self.log = WORK / "gateway.log"
        key = WORK / "key"
        key.write_text(f"{KEY}\n{SECRET}\n")
        key.chmod(0o600)
        environment = dict(
            os.environ,
            RUSTDHT__NET__MDNS="false",
            RUSTDHT__LOG__FORMAT="json",
            RUSTDHT__BLOBS__S3_BUCKET="blobs",
            RUSTDHT__BLOBS__S3_PREFIX="one/gateway",
            RUSTDHT__BLOBS__S3_ENDPOINT=endpoint,
            RUSTDHT__BLOBS__S3_ACCESS_KEY_FILE=str(key),
            RUST_LOG="debug",
        )
        command = [RUSTDHT, "serve", "--data-dir", str(folder), "--listen", "127.0.0.1:0", "--port", "0", "--ws-port", "0"]
        begin = self.log.stat().st_size if self.log.exists() else 0
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=open(self.log, "ab"), env=environment)
        self.api = None

        def ready():
            if self.process.poll() is not None:
                raise Ended(self.log.read_text()[begin:][-2000:])
            found = re.search(r'"message":"ready".*?"api":"([^"]*)"', self.log.read_text()[begin:])
            self.api = found and found.group(1)
            return found

        wait("the gateway is ready", ready)

    def add(self, body):
        return json.loads(call("POST", f"{self.api}/api/v1/blobs", body))["cid"]

    def get(self, cid, span=None):
        headers = {"Range": f"bytes={span[0]}-{span[1]}"} if span else {}
        return call("GET", f"{self.api}/ipfs/{cid}", headers=headers.items())

    def store(self):
        return json.loads(call("GET", f"{self.api}/api/v1/admin/blobs"))

    def collect(self):
        return json.loads(call("POST", f"{self.api}/api/v1/admin/blobs/gc", b""))

    def unpin(self, cid):
        pins = json.loads(call("GET", f"{self.api}/api/v1/pins?cid={cid}"))
        for pin in pins["results"]:
            call("DELETE", f"{self.api}/api/v1/pins/{pin['requestid']}")

    def end(self, how):
        self.process.send_signal(how)
        self.process.wait()


def main():
    noise = random.Random(7)
    large = noise.randbytes(24 << 20)
    files = [noise.randbytes(noise.randrange(1, 200_000)) for _ in range(24)]
    server, endpoint = start_server()
    gateway = None
    try:
        gateway = Gateway(WORK / "data-folder", endpoint)
        began = time.monotonic()
        cid = gateway.add(large)
        seconds = time.monotonic() - began
        cids = [gateway.add(file) for file in files]
        assert gateway.get(cid, (20_000_000, 20_000_099)) == large[20_000_000:20_000_100]
        before = gateway.store()
        gateway.end(signal.SIGKILL)

        gateway = Gateway(WORK / "data-folder", endpoint)
        after = gateway.store()
        assert (after["blocks"], after["bytes"]) == (before["blocks"], before["bytes"]), (before, after)
        assert hashlib.sha256(gateway.get(cid)).digest() == hashlib.sha256(large).digest()
        assert all(gateway.get(one) == file for one, file in zip(cids, files))
        for one in cids[5:]:
            gateway.unpin(one)
        done = gateway.collect()
        assert done["removed_blocks"] == len(cids[5:]) and done["missing"] == 0, done
        joined = gateway.store()
        assert joined["packs"] < after["packs"], (after, joined)
        try:
            Gateway(WORK / "another-folder", endpoint).end(signal.SIGKILL)
            raise SystemExit("error: another gateway took the prefix")
        except Ended as refused:
            assert "this prefix belongs to gateway" in str(refused), refused
        gateway.end(signal.SIGTERM)

        gateway = Gateway(WORK / "data-folder", endpoint)
        assert gateway.store()["blocks"] == joined["blocks"], (joined, gateway.store())
        assert all(gateway.get(one) == file for one, file in zip(cids[:5], files))
        assert gateway.get(cid) == large
        gateway.unpin(cid)
        for one in cids[:5]:
            gateway.unpin(one)
        gateway.collect()
        left = gateway.store()
        assert (left["blocks"], left["packs"]) == (0, 0), left
        gateway.end(signal.SIGTERM)
        assert SECRET not in gateway.log.read_text(), "the secret stands in a log"
        print(f"PASSED {KIND}: 24 MiB in {seconds:.2f} s, {len(files)} small files, kill -9, "
              f"{before['packs']} packs joined into {joined['packs']}, then none")
    finally:
        for process in [server] + ([gateway.process] if gateway and gateway.process.poll() is None else []):
            process.terminate()
            process.wait()


main()
