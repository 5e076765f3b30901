"""Kubo and our gateway as processes on loopback.

How each is configured stands in `../kubo/kubo.sh` and `lib.sh`; here they are started, asked and ended. Every process is
ended by its own id, when its `with` block ends.
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
LIBRARY = HERE / "lib.sh"
# Starting takes 0.2 s here; a debug build on a busy machine needs more.
START_S = 60


class Failed(Exception):
    """A peer did not do what it was told; the text says what and why."""


def bash(function, *arguments, env=None, stdin=None):
    """Runs a function of `lib.sh` to its end and returns what it printed, as bytes."""
    command = ["bash", "-c", '. "$0"; "$@"', str(LIBRARY), function, *map(str, arguments)]
    done = subprocess.run(command, input=stdin, capture_output=True, env={**os.environ, **(env or {})})
    if done.returncode:
        raise Failed(f"{function} {' '.join(map(str, arguments))}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


def binaries(kubo=True, ours=True):
    """Finds or builds what is needed, for this process and all it starts. Ends with 77 where Kubo cannot be had."""
    for wanted, name in ((kubo, "KUBO"), (ours, "RUSTDHT")):
        if not wanted:
            continue
        script = f'. "$0"; need_{name.lower()}; printf %s "${name}"'
        done = subprocess.run(["bash", "-c", script, str(LIBRARY)], stdout=subprocess.PIPE, text=True)
        if done.returncode:
            sys.exit(done.returncode)
        os.environ[name] = done.stdout.splitlines()[-1]


def swarm_address(addresses, transport):
    pattern = {"tcp": r"^/ip4/127\.0\.0\.1/tcp/\d+/p2p/", "quic": r"^/ip4/127\.0\.0\.1/udp/\d+/quic-v1/p2p/"}[transport]
    return next(address for address in addresses if re.match(pattern, address))


class Process:
    """A server that was started by a function of `lib.sh` which ends in `exec`: its id is the server's."""

    def __init__(self, folder, function, *arguments, env=None):
        self.folder, self.log = folder, pathlib.Path(f"{folder}.log")
        with open(self.log, "wb") as log:
            self.child = subprocess.Popen(
                ["bash", "-c", '. "$0"; "$@"', str(LIBRARY), function, str(folder), *arguments],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, **(env or {})},
            )

    def wait_for(self, pattern):
        """The match of a pattern in the log, once it is there."""
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            found = re.search(pattern, self.log.read_text(errors="replace"))
            if found:
                return found
            if self.child.poll() is not None:
                break
            time.sleep(0.05)
        self.stop()
        raise Failed(f"{self.folder.name} did not start: {self.log.read_text(errors='replace')[-600:]}")

    def stop(self):
        self.child.terminate()
        try:
            self.child.wait(20)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()


class Kubo:
    """A repository, and while `started` its daemon."""

    name = "kubo"

    def __init__(self, folder, profile=""):
        self.folder = pathlib.Path(folder)
        self.process = None
        bash("kubo_init", self.folder, profile)

    def cli(self, *arguments, stdin=None):
        return bash("kubo_ipfs", self.folder, *arguments, stdin=stdin)

    def configure(self, key, value):
        self.cli("config", "--json", key, json.dumps(value))

    def start(self, *flags, dnslinks=None):
        """`dnslinks`: what Kubo takes for the DNSLink of a name, instead of asking the DNS."""
        names = ",".join(f"{name}:{target}" for name, target in (dnslinks or {}).items())
        self.process = Process(self.folder, "kubo_daemon", *flags, env={"IPFS_NS_MAP": names} if names else None)
        self.process.wait_for("Daemon is ready")
        self.url = self._http("gateway")
        self.api = self._http("api")
        return self

    def _http(self, file):
        # `/ip4/127.0.0.1/tcp/PORT`, or a URL, depending on the file.
        text = (self.folder / file).read_text().strip()
        found = re.match(r"/ip4/([\d.]+)/tcp/(\d+)", text)
        return f"http://{found[1]}:{found[2]}" if found else text.rstrip("/")

    def address(self, transport="tcp"):
        """An address of its swarm."""
        return swarm_address(json.loads(self.cli("id"))["Addresses"], transport)

    def connect(self, address):
        self.cli("swarm", "connect", address)

    def import_car(self, path):
        self.cli("dag", "import", "--pin-roots=false", str(path))

    def put_record(self, name, path):
        self.cli("routing", "put", "--allow-offline", f"/ipns/{name}", str(path))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process:
            self.process.stop()


class Gateway:
    """Our gateway."""

    name = "ours"

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.process = None

    def start(self, dnslinks=None):
        names = ",".join(f"{name}={target}" for name, target in (dnslinks or {}).items())
        self.process = Process(self.folder, "gateway_run", names)
        self.url = self.process.wait_for(r'"message":"ready".*"api":"([^"]*)"')[1]
        return self

    def cli(self, *arguments):
        done = subprocess.run([os.environ["RUSTDHT"], "--api", self.url, *map(str, arguments)], capture_output=True)
        if done.returncode:
            raise Failed(f"rustdht {' '.join(map(str, arguments))}: {done.stderr.decode(errors='replace').strip()}")
        return done.stdout

    def address(self, transport="tcp"):
        """An address of its swarm."""
        return swarm_address(json.loads(self.cli("--json", "status"))["swarm"]["listen"], transport)

    def connect(self, address):
        self.cli("peers", "add", address)

    def _send(self, method, path, kind, body):
        request = urllib.request.Request(self.url + path, data=body, method=method, headers={"Content-Type": kind})
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return answer.read()
        except urllib.error.HTTPError as error:
            raise Failed(f"{method} {path}: {error.code} {error.read()[:300]!r}") from error

    def import_car(self, path):
        self._send("POST", "/api/v1/blobs", "application/vnd.ipld.car", pathlib.Path(path).read_bytes())

    def put_record(self, name, path):
        self._send("PUT", f"/routing/v1/ipns/{name}", "application/vnd.ipfs.ipns-record", pathlib.Path(path).read_bytes())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process:
            self.process.stop()
