"""One HTTP request as it is written, byte for byte, and the answer with everything that can be compared."""

import dataclasses
import http.client
import socket
import threading
import time

TIMEOUT_S = 60
# An answer larger than this is a fault of its own.
BODY_LIMIT = 64 * 1024 * 1024


@dataclasses.dataclass
class Request:
    group: str
    # As it stands in the request line.
    target: str
    method: str = "GET"
    # None: the address of the peer itself.
    host: str | None = None
    headers: tuple = ()
    # "direct"; "proxy": the whole URL in the request line; "tunnel": after CONNECT to the host; "own": after CONNECT to the
    # peer's own address and with the whole URL, as clients do that see a tunnel and a proxy in one.
    way: str = "direct"
    # A header whose value needs the peer's own Etag of the same target: (name, format).
    with_etag: tuple | None = None
    # Also compare the body of an error, and the headers that a success has: what `_redirects` shows is content.
    content: bool = False

    def __str__(self):
        headers = "".join(f" -H '{name}: {value}'" for name, value in self.headers)
        if self.with_etag:
            headers += f" -H '{self.with_etag[0]}: {self.with_etag[1] % 'ETAG'}'"
        host = f" -H 'Host: {self.host}'" if self.host else ""
        way = "" if self.way == "direct" else f" ({self.way})"
        return f"[{self.group}] {self.method} {self.target}{host}{headers}{way}"


@dataclasses.dataclass
class Answer:
    status: int
    # Lower-case name -> value; several of a name are joined as RFC 9110, section 5.3, has it.
    headers: dict
    body: bytes
    # What went wrong before the end of the body.
    broken: str = ""
    seconds: float = 0.0


def send(url, request):
    """`url` is `http://host:port` of the peer."""
    begun = time.monotonic()
    peer = url.removeprefix("http://")
    host = request.host or peer
    extra = list(request.headers)
    if request.with_etag:
        plain = dataclasses.replace(request, with_etag=None, method="GET")
        etag = send(url, plain).headers.get("etag", '"none"')
        extra.append((request.with_etag[0], request.with_etag[1] % etag.removeprefix("W/").strip('"')))
    connection = http.client.HTTPConnection(peer, timeout=TIMEOUT_S)
    try:
        target = request.target
        if request.way in ("proxy", "own"):
            target = f"http://{host}{target}"
        if request.way in ("tunnel", "own"):
            connection.sock = _tunnel(peer, f"{host}:80" if request.way == "tunnel" else peer)
        connection.putrequest(request.method, target, skip_host=True, skip_accept_encoding=True)
        connection.putheader("Host", host)
        for name, value in extra:
            connection.putheader(name, value)
        connection.putheader("Connection", "close")
        connection.endheaders()
        return _answer(connection.getresponse(), begun)
    except (OSError, http.client.HTTPException) as error:
        return Answer(0, {}, b"", f"{type(error).__name__}: {error}", time.monotonic() - begun)
    finally:
        connection.close()


def _tunnel(peer, authority):
    """`http.client` asks for a tunnel in HTTP/1.0, after which Kubo closes the connection."""
    stream = socket.create_connection(peer.split(":"), timeout=TIMEOUT_S)
    try:
        stream.sendall(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            byte = stream.recv(1)
            if not byte or len(head) > 8192:
                raise http.client.BadStatusLine("no answer to CONNECT")
            head += byte
        # RFC 9110, section 9.3.6: any 2xx opens the tunnel.
        if head.split(b" ")[1][:1] != b"2":
            raise http.client.BadStatusLine(f"CONNECT: {head.splitlines()[0].decode()}")
    except BaseException:
        stream.close()
        raise
    return stream


def _answer(response, begun):
    headers = {}
    for name, value in response.getheaders():
        name = name.lower()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    body, broken = bytearray(), ""
    try:
        while len(body) < BODY_LIMIT:
            data = response.read1(1 << 20)
            if not data:
                break
            body += data
        # `read1` does not complain of a body that ends before its announced length.
        announced = headers.get("content-length")
        if announced and response.length:
            broken = f"the body ends after {len(body)} of {announced} bytes"
    except (OSError, http.client.HTTPException) as error:
        broken = type(error).__name__
    return Answer(response.status, headers, bytes(body), broken, time.monotonic() - begun)


class Altering:
    """A server before another that changes bytes of each answer: to see that the comparison would find a difference."""

    def __init__(self, url, find, put):
        self.peer, self.find, self.put, self.altered = url.removeprefix("http://").split(":"), find, put, 0
        self.server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.server.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.server.accept()
            except OSError:
                return
            threading.Thread(target=self._relay, args=(client,), daemon=True).start()

    def _relay(self, client):
        with client, socket.create_connection((self.peer[0], int(self.peer[1])), timeout=TIMEOUT_S) as server:
            threading.Thread(target=_copy, args=(client, server), daemon=True).start()
            # Whole, since what is changed may lie across two pieces. Every request here ends its connection.
            whole = b""
            while data := server.recv(65536):
                whole += data
            if self.find in whole:
                whole, self.altered = whole.replace(self.find, self.put, 1), self.altered + 1
            client.sendall(whole)

    def close(self):
        self.server.close()


def _copy(source, sink):
    try:
        while data := source.recv(65536):
            sink.sendall(data)
    except OSError:
        pass
