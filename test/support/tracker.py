"""tracker: an HTTP and UDP tracker that does what it is told.

By default it is a true tracker: it remembers who announced and gives them to
each other, and it records every announce. `static` adds peers of the test's
own, `script` replaces the answer: a function (request, announce) that writes
what it likes to request (see the list at the end) or returns bytes, the body.
Nothing here waits for ever: every socket has a timeout, and stop() ends it.
"""
import functools
import gzip
import http.server
import socket
import socketserver
import struct
import threading
import time
import urllib.parse

from sample import bencode


class Announce:
    """One announce as it came: parameters by name, and from where."""

    def __init__(self, kind, source, values):
        self.kind = kind
        self.source = source
        self.when = time.monotonic()
        self.values = values
        self.info_hash = values.get("info_hash", b"")
        self.peer_id = values.get("peer_id", b"")
        self.event = values.get("event", b"").decode("latin-1")
        self.port = number(values.get("port"))
        self.left = number(values.get("left"))
        self.uploaded = number(values.get("uploaded"))
        self.downloaded = number(values.get("downloaded"))
        self.numwant = number(values.get("numwant"))

    def __repr__(self):
        return "<%s %s port %s left %s event %r>" % (
            self.kind, self.source, self.port, self.left, self.event)


def number(text):
    try:
        return int(text)
    except (TypeError, ValueError):
        return None


def parse_query(query):
    """Raw bytes by name; info_hash is no text."""
    out = {}
    for part in query.split("&"):
        name, _, value = part.partition("=")
        out[name] = urllib.parse.unquote_to_bytes(value.replace("+", " "))
    return out


def compact(peers):
    return b"".join(socket.inet_aton(h) + struct.pack(">H", p)
                    for h, p in peers if ":" not in h)


def compact6(peers):
    return b"".join(socket.inet_pton(socket.AF_INET6, h) +
                    struct.pack(">H", p) for h, p in peers if ":" in h)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30

    def log_message(self, *args):
        pass

    def do_GET(self):
        tracker = self.server.tracker
        url = urllib.parse.urlsplit(self.path)
        values = parse_query(url.query)
        with tracker.lock:
            tracker.requests.append(self.path)
            tracker.headers.append(dict(self.headers))
        try:
            if url.path == "/redirect/announce":
                self.answer(b"", 302, Location="/announce?" + url.query)
            elif url.path.endswith("/announce"):
                note = Announce("http", self.client_address, values)
                body = tracker.announced(note, self)
                if body is not None:
                    self.answer(body)
            elif url.path in tracker.files:
                self.answer(tracker.files[url.path])
            else:
                self.answer(b"no such page", 404)
        except OSError:
            self.close_connection = True

    def answer(self, body, status=200, **headers):
        self.send_response(status)
        headers.setdefault("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def server_bind(self):
        # HTTPServer's own looks its host up in the DNS.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]

    def handle_error(self, request, client_address):
        pass


class Server6(Server):
    address_family = socket.AF_INET6


class Tracker:
    def __init__(self, t, host="127.0.0.1", static=(), script=None, **more):
        self.lock = threading.Lock()
        self.announces = []
        self.requests = []
        self.headers = []
        self.swarms = {}
        self.static = list(static)
        self.script = script
        self.udp_script = more.get("udp_script")
        self.interval = more.get("interval", 1)
        self.extra = more.get("extra", {})
        self.files = more.get("files", {})
        self.ending = threading.Event()
        self.host = host
        self.listen(more.get("port", 0))
        self.udp.settimeout(0.2)
        shown = "[%s]" % host if ":" in host else host
        self.base = "http://%s:%d" % (shown, self.port)
        self.url = self.base + "/announce"
        self.udp_url = "udp://%s:%d/announce" % (shown, self.port)
        self.threads = [
            threading.Thread(target=self.server.serve_forever, args=(0.05,),
                             daemon=True),
            threading.Thread(target=self.serve_udp, daemon=True)]
        for thread in self.threads:
            thread.start()
        t.at_end.append(self.stop)

    def listen(self, port):
        """TCP and UDP on the same port, which for UDP may be taken."""
        six = ":" in self.host
        self.udp = socket.socket(socket.AF_INET6 if six else socket.AF_INET,
                                 socket.SOCK_DGRAM)
        for tries in range(20):
            self.server = (Server6 if six else Server)((self.host, port),
                                                       Handler)
            self.port = self.server.server_address[1]
            try:
                self.udp.bind((self.host, self.port))
                break
            except OSError:
                self.server.server_close()
                if port or tries == 19:
                    raise
        self.server.tracker = self

    def stop(self):
        self.ending.set()
        self.server.shutdown()
        self.server.server_close()
        for thread in self.threads:
            thread.join(5)
        self.udp.close()

    def record(self, note):
        """Takes note of an announce; returns the others of its swarm."""
        with self.lock:
            self.announces.append(note)
            swarm = self.swarms.setdefault(note.info_hash, {})
            others = [p for i, p in swarm.items() if i != note.peer_id]
            if note.event == "stopped":
                swarm.pop(note.peer_id, None)
            elif note.port:
                swarm[note.peer_id] = (note.source[0], note.port)
            return self.static + others

    def announced(self, note, request):
        peers = self.record(note)
        if self.script:
            return self.script(request, note)
        reply = {"interval": self.interval, "peers": compact(peers)}
        if any(":" in host for host, _ in peers):
            reply["peers6"] = compact6(peers)
        reply.update(self.extra)
        return bencode(reply)

    def of(self, torrent, event=None):
        """The announces of one torrent so far."""
        with self.lock:
            return [a for a in self.announces
                    if a.info_hash == torrent.info_hash and
                    (event is None or a.event == event)]

    def seeders(self, torrent):
        """How many distinct peers announced that nothing is left."""
        return len({a.peer_id for a in self.of(torrent) if a.left == 0})

    # UDP, BEP 15: connect, announce, scrape.
    def serve_udp(self):
        while not self.ending.is_set():
            try:
                data, source = self.udp.recvfrom(4096)
            except TimeoutError:
                continue
            except OSError:
                return
            try:
                reply = self.udp_answer(data, source)
            except struct.error:
                continue
            for part in reply if isinstance(reply, list) else [reply]:
                if part is not None:
                    self.udp.sendto(part, source)

    def udp_answer(self, data, source):
        first, action, transaction = struct.unpack(">QII", data[:16])
        if self.udp_script:
            reply = self.udp_script(self, data, source, action, transaction)
            if reply is not NotImplemented:
                return reply
        if action == 0:
            if first != 0x41727101980:
                return None
            return struct.pack(">IIQ", 0, transaction, 0x1122334455667788)
        if action == 1:
            return self.udp_announce(data, source, transaction)
        return struct.pack(">II", 3, transaction) + b"not done here"

    def udp_announce(self, data, source, transaction):
        (info_hash, peer_id, downloaded, left, uploaded, event, _, key, want,
         port) = struct.unpack(">20s20sQQQIIIiH", data[16:98])
        names = ["", "completed", "started", "stopped"]
        note = Announce("udp", source, {
            "info_hash": info_hash, "peer_id": peer_id,
            "downloaded": str(downloaded), "left": str(left),
            "uploaded": str(uploaded), "port": str(port),
            "event": names[event & 3].encode(), "key": b"%08x" % key,
            "numwant": str(want)})
        note.options = data[98:]
        peers = self.record(note)
        return struct.pack(">IIIII", 1, transaction, self.interval, 1,
                           1) + compact(peers)


# What a bad HTTP tracker answers: functions for `script`.
def endless(request, first, portion, seconds=20):
    """Sends first, then portion for ever, or until the client leaves."""
    end = time.monotonic() + seconds
    request.close_connection = True
    request.connection.settimeout(5)
    request.wfile.write(first)
    while time.monotonic() < end and \
            not request.server.tracker.ending.is_set():
        request.wfile.write(portion)


def endless_body(request, note):
    endless(request, b"HTTP/1.1 200 OK\r\n\r\nd5:peers99999999999:",
            b"x" * 65536)


def endless_headers(request, note):
    endless(request, b"HTTP/1.1 200 OK\r\n", b"X-More: " + b"y" * 8000 +
            b"\r\n")


def slow_drip(request, note):
    """A byte each 0.2 s, for ever."""
    request.close_connection = True
    request.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while not request.server.tracker.ending.wait(0.2):
        request.wfile.write(b"d")


def silent(request, note):
    request.close_connection = True
    request.server.tracker.ending.wait(60)


def redirect_loop(request, note):
    request.answer(b"", 302, Location=request.path)


def redirect_to(target):
    def script(request, note):
        request.answer(b"", 302, Location=target)
    return script


@functools.lru_cache(None)
def bomb():
    """64 MiB when unpacked; made once, for it takes a while."""
    return gzip.compress(b"d5:peers" + b"0" * (64 << 20), 1)


def gzip_bomb(request, note):
    request.answer(bomb(), Content_Encoding="gzip")


def gzipped(reply):
    def script(request, note):
        request.answer(gzip.compress(bencode(reply)),
                       Content_Encoding="gzip")
    return script


def fixed(body, status=200):
    def script(request, note):
        request.answer(body, status)
    return script


DEEP = b"l" * 200000 + b"e" * 200000
HOSTILE = {
    "endless body": endless_body,
    "endless headers": endless_headers,
    "slow drip": slow_drip,
    "silence": silent,
    "redirect loop": redirect_loop,
    "redirect to a file": redirect_to("file:///etc/passwd"),
    "redirect to gopher": redirect_to("gopher://127.0.0.1:1/x"),
    "gzip bomb": gzip_bomb,
    "no body": fixed(b""),
    "html": fixed(b"<html><body>It works!</body></html>"),
    "error 500": fixed(b"no", 500),
    "not found": fixed(b"no", 404),
    "deep nesting": fixed(DEEP),
    "cut short": fixed(b"d8:intervali60e5:peers60:abc"),
    "huge string length": fixed(b"d5:peers99999999999999999999:abce"),
    "negative string length": fixed(b"d5:peers-1:e"),
    "peers not of six": fixed(b"d8:intervali1e5:peers7:abcdefge"),
    "peers a number": fixed(b"d8:intervali1e5:peersi7ee"),
    "peers with port 0": fixed(bencode({
        "interval": 1, "peers": compact([("127.0.0.1", 0)] * 50)})),
    "peers that are multicast": fixed(bencode({
        "interval": 1, "peers": compact([("224.0.0.1", 80),
                                         ("255.255.255.255", 80),
                                         ("0.0.0.0", 80)])})),
    "dict peers of rubbish": fixed(bencode({"interval": 1, "peers": [
        {"ip": "not an address", "port": 1}, {"ip": b"\0" * 9000,
                                              "port": -5},
        {"port": 99999999999}, 7, [], {"ip": "::1" * 100, "port": 6}]})),
    "interval of minus one": fixed(bencode({"interval": -1, "peers": b""})),
    "interval of 2^63": fixed(bencode({"interval": 2 ** 63 - 1,
                                       "peers": b""})),
    "interval 0": fixed(bencode({"interval": 0, "peers": b""})),
    "failure with escape codes": fixed(bencode({
        "failure reason": "\x1b[2J\x1b]0;owned\x07\r\nbtget: ok\n"})),
    "failure of a megabyte": fixed(bencode({
        "failure reason": "x" * 1000000})),
}


# What a bad UDP tracker answers: functions for `udp_script`.
def udp_wrong_transaction(tracker, data, source, action, transaction):
    return struct.pack(">IIQ", action, transaction ^ 1, 7)


class UdpLosing:
    """Loses the first packet of each kind."""

    def __init__(self):
        self.lost = set()

    def __call__(self, tracker, data, source, action, transaction):
        if action in self.lost:
            return NotImplemented
        self.lost.add(action)
        return None


def udp_short(tracker, data, source, action, transaction):
    return struct.pack(">II", action, transaction)[:7]


def udp_error(tracker, data, source, action, transaction):
    return struct.pack(">II", 3, transaction) + b"\x1b[2Jgo away"


def udp_flood(tracker, data, source, action, transaction):
    return [b"\xff" * 1400] * 500 + [
        struct.pack(">IIQ", action, transaction, 7)]


def udp_ragged_peers(tracker, data, source, action, transaction):
    if action == 0:
        return NotImplemented
    return struct.pack(">IIIII", 1, transaction, 1, 1, 1) + b"abcdefg"


def udp_announce_cut(tracker, data, source, action, transaction):
    if action == 0:
        return NotImplemented
    return struct.pack(">II", 1, transaction) + b"\0\0"


def udp_silent(tracker, data, source, action, transaction):
    return None


HOSTILE_UDP = {
    "wrong transaction": udp_wrong_transaction,
    "short answers": udp_short,
    "errors": udp_error,
    "a flood": udp_flood,
    "ragged peers": udp_ragged_peers,
    "an announce cut short": udp_announce_cut,
    "silence": udp_silent,
}
