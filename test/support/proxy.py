"""proxy: scripted SOCKS5 and HTTP proxies that note what they are asked.

names maps host names to addresses: the only ones that a proxy here knows, so
that a name that works was looked up by the proxy. With a user, nothing goes
without the right password. script, a function (proxy, socket), does
something else with each connection: SOCKS5_EVIL and HTTP_EVIL list such.
Nothing waits for ever: every socket has a timeout, and stop() ends it.
"""
import base64
import contextlib
import select
import socket
import struct
import threading
import time

TIMEOUT = 60
GOOD, NOT_ALLOWED, NO_HOST, REFUSED = 0, 2, 4, 5


class Gone(Exception):
    """The connection ended."""


def read(sock, size):
    data = b""
    while len(data) < size:
        part = sock.recv(size - len(data))
        if not part:
            raise Gone
        data += part
    return data


class Base:
    def __init__(self, t, host="127.0.0.1", user=None, password="", **more):
        self.user, self.password = user, password
        self.names = more.get("names", {})
        self.script = more.get("script")
        self.lock = threading.Lock()
        self.asked = []         # (host, port) of each connection wanted
        self.logins = []        # (user, password) as they came
        self.connections = 0
        self.ending = threading.Event()
        self.listener = socket.socket(
            socket.AF_INET6 if ":" in host else socket.AF_INET)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((host, more.get("port", 0)))
        self.listener.listen(256)
        self.listener.settimeout(0.1)
        self.where = self.listener.getsockname()[:2]
        self.shown = ("[%s]:%d" if ":" in host else "%s:%d") % self.where
        self.threads = []
        self.begin(self.accept)
        t.at_end.append(self.stop)

    def begin(self, target, *args):
        thread = threading.Thread(target=target, args=args, daemon=True)
        self.threads.append(thread)
        thread.start()

    def stop(self):
        self.ending.set()
        for thread in self.threads:
            thread.join(5)

    def accept(self):
        while not self.ending.is_set():
            try:
                sock, _ = self.listener.accept()
            except TimeoutError:
                continue
            with self.lock:
                self.connections += 1
            sock.settimeout(TIMEOUT)
            self.begin(self.handle, sock)
        self.listener.close()

    def handle(self, sock):
        with contextlib.suppress(OSError, Gone, ValueError, struct.error), \
                sock:
            (self.script or type(self).serve)(self, sock)

    def connect(self, host, port):
        """The other end, or None."""
        with self.lock:
            self.asked.append((host, port))
        with contextlib.suppress(OSError):
            return socket.create_connection(
                (self.names.get(host, host), port), 5)
        return None

    def relay(self, one, other):
        """Until either side ends."""
        pairs = {one: other, other: one}
        while not self.ending.is_set():
            ready, _, _ = select.select(list(pairs), [], [], 0.1)
            for sock in ready:
                data = sock.recv(65536)
                if not data:
                    return
                pairs[sock].sendall(data)


class Socks(Base):
    def serve(self, sock):
        self.greet(sock)
        _, command, _, kind = read(sock, 4)
        assert command == 1, "only CONNECT is asked for"
        if kind == 1:
            host = socket.inet_ntoa(read(sock, 4))
        elif kind == 4:
            host = socket.inet_ntop(socket.AF_INET6, read(sock, 16))
        else:
            host = read(sock, read(sock, 1)[0]).decode("ascii")
        port = struct.unpack(">H", read(sock, 2))[0]
        other = self.connect(host, port)
        self.answer(sock, GOOD if other else REFUSED)
        if other:
            with other:
                self.relay(sock, other)

    def greet(self, sock):
        version, count = read(sock, 2)
        methods = read(sock, count)
        assert version == 5
        if self.user is None:
            sock.sendall(b"\5\0")
            return
        if 2 not in methods:
            sock.sendall(b"\5\xff")
            raise Gone
        sock.sendall(b"\5\2")
        assert read(sock, 1) == b"\1"
        login = tuple(read(sock, read(sock, 1)[0]).decode()
                      for _ in range(2))
        with self.lock:
            self.logins.append(login)
        good = login == (self.user, self.password)
        sock.sendall(b"\1\0" if good else b"\1\1")
        if not good:
            raise Gone

    @staticmethod
    def answer(sock, reply):
        # A name where others give an address: any form is allowed.
        sock.sendall(b"\5" + bytes([reply]) + b"\0\3\7a.proxy\0\1")


class Http(Base):
    def serve(self, sock):
        head = b""
        while b"\r\n\r\n" not in head:
            head += read(sock, 1)
        lines = head.decode("latin-1").split("\r\n")
        method, target, _ = lines[0].split(" ")
        if not self.let_in(lines):
            sock.sendall(b"HTTP/1.1 407 Who are you\r\nProxy-Authenticate: "
                         b"Basic realm=\"x\"\r\nContent-Length: 0\r\n"
                         b"Connection: close\r\n\r\n")
            return
        tunnel = method == "CONNECT"
        rest = target if tunnel else target.split("/", 3)[2]
        host, port = (rest.rsplit(":", 1) + ["80"])[:2]
        other = self.connect(host.strip("[]"), int(port))
        if not other:
            sock.sendall(b"HTTP/1.1 502 Nobody\r\nContent-Length: 0\r\n"
                         b"Connection: close\r\n\r\n")
            return
        with other:
            if tunnel:
                sock.sendall(b"HTTP/1.1 200 Go on\r\n\r\n")
            else:
                path = "/" + target.split("/", 3)[3]
                more = [one for one in lines[1:] if one and not
                        one.lower().startswith(("proxy-", "connection"))]
                other.sendall("\r\n".join(
                    ["%s %s HTTP/1.1" % (method, path)] + more +
                    ["Connection: close", "", ""]).encode("latin-1"))
            self.relay(sock, other)

    def let_in(self, lines):
        if self.user is None:
            return True
        for one in lines[1:]:
            if one.lower().startswith("proxy-authorization: basic "):
                login = base64.b64decode(one.split(" ")[2]).decode()
                with self.lock:
                    self.logins.append(tuple(login.split(":", 1)))
                return login == "%s:%s" % (self.user, self.password)
        return False


def saying(*parts, read_first=3):
    """Answers with these whatever comes, and waits."""
    def script(proxy, sock):
        read(sock, read_first)
        for part in parts:
            sock.sendall(part)
            time.sleep(0.01)
        proxy.ending.wait(TIMEOUT)
    return script


def hang_up(proxy, sock):
    read(sock, 1)


def silent(proxy, sock):
    proxy.ending.wait(TIMEOUT)


def flood(proxy, sock):
    read(sock, 3)
    end = time.monotonic() + TIMEOUT
    while not proxy.ending.is_set() and time.monotonic() < end:
        sock.sendall(b"\5" * 65536)


def drip(proxy, sock):
    """An answer that takes for ever."""
    read(sock, 3)
    sock.sendall(b"\5\0")
    read(sock, 4)
    for byte in b"\5\0\0\3\xff" + 255 * b"x":
        sock.sendall(bytes([byte]))
        if proxy.ending.wait(1):
            return


SOCKS5_EVIL = {
    "hang_up": hang_up,
    "flood": flood,
    "http": saying(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
    "socks4": saying(b"\0\x5a\0\0\0\0\0\0"),
    "wrong_method": saying(b"\5\2"),
    "no_method": saying(b"\5\xff"),
    "wrong_version": saying(b"\5\0", b"\4\0\0\1\0\0\0\0\0\0"),
    "wrong_type": saying(b"\5\0", b"\5\0\0\7\0\0\0\0\0\0"),
    "no_connect": saying(b"\5\0", b"\5\7\0\1\0\0\0\0\0\0"),
    "unknown_reply": saying(b"\5\0", b"\5\x99\0\1\0\0\0\0\0\0"),
}
