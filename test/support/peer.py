"""peer: a BitTorrent peer that follows a script, for what no client does.

A Peer listens on an address of its own (127.0.0.x, since a ban hits every
peer behind an address) and runs its script(peer, conn) for each connection,
in a thread; Dialer connects by itself. good_seed and good_leech are honest;
the others are in SEEDS (met by a btget that downloads) and LEECHES (met by a
btget that seeds). A script sets peer.acted once it has done its worst, so
that a test can hold the honest peer back until then and know that the case
was really met.
"""
import contextlib
import hashlib
import itertools
import os
import socket
import struct
import threading
import time

from sample import BLOCK, bencode, bdecode

(CHOKE, UNCHOKE, INTERESTED, NOT_INTERESTED, HAVE, BITFIELD, REQUEST, PIECE,
 CANCEL, PORT) = range(10)
SUGGEST, HAVE_ALL, HAVE_NONE, REJECT, ALLOWED_FAST = range(13, 18)
EXTENDED = 20
PROTOCOL = b"\x13BitTorrent protocol"
FAST = b"\0\0\0\0\0\0\0\x04"
EXTENSIONS = b"\0\0\0\0\0\x10\0\x04"
PLAIN = b"\0" * 8


class Closed(Exception):
    """The other side closed, or the test ends."""


class Conn:
    """A connection with whole messages both ways."""

    def __init__(self, sock, peer):
        self.sock = sock
        self.peer = peer
        self.buffer = b""
        self.reserved = b""
        self.peer_id = b""
        self.info_hash = b""
        sock.settimeout(0.1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def check(self):
        if self.peer.ending.is_set():
            raise Closed("the test ends")

    def read(self, size):
        parts = [self.buffer]
        have = len(self.buffer)
        while have < size:
            self.check()
            try:
                part = self.sock.recv(max(65536, size - have))
            except TimeoutError:
                continue
            except OSError as error:
                raise Closed(str(error))
            if not part:
                raise Closed("closed by the other side")
            parts.append(part)
            have += len(part)
        data = b"".join(parts)
        self.buffer = data[size:]
        return data[:size]

    def write(self, data):
        view = memoryview(data)
        while view:
            self.check()
            try:
                view = view[self.sock.send(view):]
            except TimeoutError:
                continue
            except OSError as error:
                raise Closed(str(error))

    def send(self, kind, payload=b""):
        self.write(struct.pack(">IB", 1 + len(payload), kind) + payload)

    def message(self):
        """The next message as (kind, payload); keepalives are (None, b"")."""
        size, = struct.unpack(">I", self.read(4))
        if size == 0:
            return None, b""
        assert size <= 1 << 24, "btget sent a message of %d bytes" % size
        data = self.read(size)
        return data[0], data[1:]

    def send_handshake(self, info_hash=None, reserved=FAST, peer_id=None):
        self.write(PROTOCOL + reserved +
                   (info_hash or self.peer.torrent.info_hash) +
                   (peer_id or self.peer.peer_id))

    def read_handshake(self):
        data = self.read(68)
        if data[:20] != PROTOCOL:
            raise Closed("no plain handshake")
        self.reserved = data[20:28]
        self.info_hash, self.peer_id = data[28:48], data[48:68]

    def handshake(self, **how):
        if self.peer.dials:
            self.send_handshake(**how)
            self.read_handshake()
        else:
            self.read_handshake()
            self.send_handshake(**how)

    @property
    def fast(self):
        return bool(self.reserved[7] & 4)

    def bitfield(self, have=None):
        """Sends a bitfield: all pieces, or the indexes in have."""
        count = self.peer.torrent.piece_count
        bits = bytearray((count + 7) // 8)
        for index in range(count) if have is None else have:
            bits[index // 8] |= 0x80 >> index % 8
        self.send(BITFIELD, bytes(bits))

    def piece(self, index, begin, data):
        self.send(PIECE, struct.pack(">II", index, begin) + data)

    def request(self, index, begin, length):
        self.send(REQUEST, struct.pack(">III", index, begin, length))

    def wait_end(self, seconds=3600):
        """Reads and forgets until the other side closes."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.message()

    def linger(self, seconds=3600):
        """Does nothing, reads nothing."""
        if self.peer.ending.wait(seconds):
            raise Closed("the test ends")


class Base:
    dials = False

    def __init__(self, t, torrent, content=b"", script=None, **more):
        self.torrent = torrent
        self.content = content
        self.script = script or good_seed
        self.peer_id = more.get("peer_id") or \
            b"-TT0001-" + os.urandom(6).hex().encode()
        self.have = more.get("have")
        self.hold = more.get("hold")
        self.acted = threading.Event()
        self.ending = threading.Event()
        self.done = threading.Event()
        self.lock = threading.Lock()
        self.connections = 0
        self.refused = 0
        self.keep_refused = False
        self.ends = []
        self.requests = []
        self.sent = 0
        self.got = {}
        self.threads = []
        t.at_end.append(self.stop)

    def block(self, index, begin, length):
        at = index * self.torrent.piece_length + begin
        return self.content[at:at + length]

    def run_script(self, sock):
        if not self.dials and not self.plain_comes(sock):
            sock.close()
            return
        with self.lock:
            self.connections += 1
        conn = Conn(sock, self)
        try:
            self.script(self, conn)
            self.ends.append("the script ended")
        except Closed as why:
            self.ends.append(str(why))
        except OSError as why:
            self.ends.append("closed: %s" % why)
        except AssertionError as why:
            self.ends.append("WRONG: %s" % why)
        except Exception as why:
            # One that is broken meets nobody, and proves nothing.
            self.ends.append("WRONG: the script itself: %r" % why)
        finally:
            with contextlib.suppress(OSError):
                sock.close()

    def plain_comes(self, sock):
        """Whether it begins in plain; an encrypted try is refused, as by
        any client that knows none, and not counted but in .refused."""
        sock.settimeout(0.1)
        while not self.ending.is_set():
            try:
                data = sock.recv(20, socket.MSG_PEEK)
            except TimeoutError:
                continue
            except OSError:
                return False
            if data == PROTOCOL or not data:
                return bool(data)
            if data != PROTOCOL[:len(data)]:
                with self.lock:
                    self.refused += 1
                if self.keep_refused:
                    self.ending.wait(3600)
                return False
            time.sleep(0.01)
        return False

    def start(self, target, *args):
        thread = threading.Thread(target=target, args=args, daemon=True)
        self.threads.append(thread)
        thread.start()

    def stop(self):
        self.ending.set()
        for thread in self.threads:
            thread.join(5)
        wrong = [e for e in self.ends if e.startswith("WRONG")]
        if wrong:
            raise AssertionError(wrong[0])


class Peer(Base):
    """Listens; .where is (host, port)."""

    def __init__(self, t, torrent, content=b"", script=None, **more):
        super().__init__(t, torrent, content, script, **more)
        host = more.get("host", "127.0.0.1")
        self.listener = socket.socket(
            socket.AF_INET6 if ":" in host else socket.AF_INET)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((host, more.get("port", 0)))
        self.listener.listen(64)
        self.listener.settimeout(0.1)
        self.where = self.listener.getsockname()[:2]
        self.start(self.accept)

    def accept(self):
        while not self.ending.is_set():
            try:
                sock, _ = self.listener.accept()
            except TimeoutError:
                continue
            self.start(self.run_script, sock)
        self.listener.close()


class Dialer(Base):
    """Connects to where, from an address of its own."""

    dials = True

    def __init__(self, t, torrent, where, script, **more):
        super().__init__(t, torrent, more.pop("content", b""), script,
                         **more)
        self.start(self.dial, where, more.get("host", "127.0.0.1"))

    def dial(self, where, host):
        try:
            sock = socket.create_connection(where, 5, (host, 0))
        except OSError as error:
            self.ends.append("no connection: %s" % error)
            return
        self.run_script(sock)


# ---- honest peers

def serve(peer, conn, answer=None):
    """Answers every request truthfully, or with answer(index, begin,
    length), which may return None for nothing."""
    while True:
        kind, payload = conn.message()
        if kind != REQUEST:
            continue
        index, begin, length = struct.unpack(">III", payload)
        assert length <= BLOCK, "btget asked for %d bytes" % length
        assert index < peer.torrent.piece_count and \
            begin + length <= peer.torrent.piece_size(index), \
            "btget asked beyond the end"
        with peer.lock:
            peer.requests.append((index, begin, length))
        data = answer(index, begin, length) if answer else \
            peer.block(index, begin, length)
        if data is not None:
            conn.piece(index, begin, data)
            with peer.lock:
                peer.sent += len(data)


def greet(peer, conn, **how):
    """Handshake, all pieces, unchoke."""
    conn.handshake(**how)
    conn.bitfield(peer.have)
    conn.send(UNCHOKE)


def good_seed(peer, conn):
    conn.handshake()
    conn.bitfield(peer.have)
    if peer.hold:
        while not peer.hold.wait(0.05):
            conn.check()
    conn.send(UNCHOKE)
    serve(peer, conn)


def good_leech(peer, conn):
    """Downloads all there is into peer.got and sets done; the hashes are
    checked."""
    conn.handshake()
    conn.send(HAVE_NONE if conn.fast else BITFIELD,
              b"" if conn.fast else
              bytes((peer.torrent.piece_count + 7) // 8))
    conn.send(INTERESTED)
    pieces = range(peer.torrent.piece_count)
    blocks = [(i, b, min(BLOCK, peer.torrent.piece_size(i) - b))
              for i in pieces
              for b in range(0, peer.torrent.piece_size(i), BLOCK)]
    choked, asked = True, set()
    while len(peer.got) < len(blocks):
        kind, payload = conn.message()
        if kind == UNCHOKE:
            choked = False
        elif kind == CHOKE:
            choked, asked = True, set()
        elif kind == PIECE:
            index, begin = struct.unpack(">II", payload[:8])
            peer.got[index, begin] = payload[8:]
            asked.discard((index, begin))
        if not choked:
            for index, begin, length in blocks:
                if len(asked) >= 32:
                    break
                if (index, begin) not in peer.got and \
                        (index, begin) not in asked:
                    asked.add((index, begin))
                    conn.request(index, begin, length)
    for i in pieces:
        whole = b"".join(peer.got[i, b] for b in
                         range(0, peer.torrent.piece_size(i), BLOCK))
        want = peer.torrent.info[b"pieces"][20 * i:20 * i + 20]
        assert hashlib.sha1(whole).digest() == want, "piece %d is bad" % i
    peer.done.set()
    conn.linger()


# ---- what a downloading btget meets

def after(action, then_serve=True, **how):
    """A script: greet, action(peer, conn), and then serve or wait."""
    def script(peer, conn):
        greet(peer, conn, **how)
        try:
            action(peer, conn)
        finally:
            peer.acted.set()
        if then_serve:
            serve(peer, conn)
        conn.wait_end()
    return script


def raw(data, **how):
    """A script: greet, then these bytes, then silence."""
    return after(lambda peer, conn: conn.write(data), False, **how)


def instead(data):
    """A script: these bytes in place of a handshake, then silence."""
    def script(peer, conn):
        if data:
            conn.write(data)
        peer.acted.set()
        conn.linger()
    return script


def close_at_once(peer, conn):
    peer.acted.set()


def wrong_info_hash(peer, conn):
    peer.acted.set()
    greet(peer, conn, info_hash=b"\xaa" * 20)
    serve(peer, conn)


def mirror_peer_id(peer, conn):
    conn.read_handshake()
    conn.send_handshake(peer_id=conn.peer_id)
    peer.acted.set()
    conn.bitfield()
    conn.send(UNCHOKE)
    serve(peer, conn)


def never_unchokes(peer, conn):
    conn.handshake()
    conn.bitfield()
    peer.acted.set()
    conn.wait_end()


def bad_data(rule):
    """A seed whose block is spoilt when rule(index, begin, count) says so;
    count is how many it sent before."""
    def script(peer, conn):
        greet(peer, conn)
        count = itertools.count()

        def answer(index, begin, length):
            data = peer.block(index, begin, length)
            if rule(index, begin, next(count)):
                peer.acted.set()
                data = bytes([data[0] ^ 1]) + data[1:]
            return data
        serve(peer, conn, answer)
    return script


def takes_requests_only(peer, conn):
    greet(peer, conn)

    def answer(index, begin, length):
        peer.acted.set()
    serve(peer, conn, answer)


def byte_by_byte(peer, conn):
    """Answers each request, a byte each 0.3 s."""
    greet(peer, conn)

    def answer(index, begin, length):
        data = struct.pack(">IBII", 9 + length, PIECE, index, begin) + \
            peer.block(index, begin, length)
        for at in range(len(data)):
            conn.write(data[at:at + 1])
            if at == 20:
                peer.acted.set()
            conn.linger(0.3)
    serve(peer, conn, answer)


def closes_in_a_block(peer, conn):
    greet(peer, conn)

    def answer(index, begin, length):
        conn.write(struct.pack(">IBII", 9 + length, PIECE, index, begin) +
                   peer.block(index, begin, length)[:length // 2])
        peer.acted.set()
        raise Closed("in the middle of a block")
    serve(peer, conn, answer)


def wrong_blocks(change):
    """A seed that answers (index, begin, data) changed."""
    def script(peer, conn):
        greet(peer, conn)

        def answer(index, begin, length):
            data = peer.block(index, begin, length)
            conn.piece(*change(index, begin, data))
            peer.acted.set()
        serve(peer, conn, answer)
    return script


def rejects_all(peer, conn):
    greet(peer, conn)

    def answer(index, begin, length):
        conn.send(REJECT, struct.pack(">III", index, begin, length))
        peer.acted.set()
    serve(peer, conn, answer)


def flaps_choke(peer, conn):
    conn.handshake()
    conn.bitfield()
    for count in itertools.count():
        conn.send(UNCHOKE)
        conn.send(CHOKE)
        if count == 2000:
            peer.acted.set()
        if count > 2000:
            conn.linger(0.01)


def chokes_when_asked(peer, conn):
    """Chokes on every request and forgets it, without a reject."""
    greet(peer, conn)

    def answer(index, begin, length):
        conn.send(CHOKE)
        conn.linger(0.02)
        conn.send(UNCHOKE)
        peer.acted.set()
    serve(peer, conn, answer)


def sends_all_unasked(peer, conn):
    greet(peer, conn)
    try:
        for index in range(peer.torrent.piece_count):
            for begin in range(0, peer.torrent.piece_size(index), BLOCK):
                size = min(BLOCK, peer.torrent.piece_size(index) - begin)
                conn.piece(index, begin, b"\x55" * size)
    finally:
        peer.acted.set()
    serve(peer, conn)


def floods(data, megabytes=64):
    """A script: greet, then data over and over."""
    def script(peer, conn):
        greet(peer, conn)
        portion = data * max(1, 65536 // len(data))
        try:
            for _ in range((megabytes << 20) // len(portion)):
                conn.write(portion)
                if peer.connections > 3:
                    break
                if _ == 16:
                    peer.acted.set()
        finally:
            peer.acted.set()
        conn.linger()
    return script


def message(kind, payload=b""):
    return struct.pack(">IB", 1 + len(payload), kind) + payload


def extended(number, value):
    return message(EXTENDED, bytes([number]) + value)


HUGE = 0xffffffff
HAVE_OUT = message(HAVE, struct.pack(">I", HUGE))
SEEDS = {
    "silence": instead(b""),
    "half a handshake": instead(PROTOCOL[:11]),
    "a handshake without the id": instead(PROTOCOL + PLAIN + b"\xaa" * 20),
    "rubbish": instead(os.urandom(5000)),
    "http": instead(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
    "close at once": close_at_once,
    "a wrong info hash": wrong_info_hash,
    "our own peer id": mirror_peer_id,
    "a length of 4 GiB": raw(b"\xff\xff\xff\xff" + b"\7" * 100000),
    "a length of 2 GiB": raw(b"\x80\0\0\0" + b"\7" * 100000),
    "a block of 2 MiB": raw(struct.pack(">IBII", 9 + (2 << 20), PIECE, 0, 0)
                            + b"\0" * (2 << 20)),
    "a piece of 9 bytes": raw(message(PIECE, struct.pack(">II", 0, 0))),
    "a piece of 3 bytes": raw(message(PIECE, b"\0\0")),
    "a have of 3 bytes": raw(message(HAVE, b"\0\0\0")),
    "a choke with a payload": raw(message(CHOKE, b"x" * 50)),
    "a request of 1 byte": raw(message(REQUEST, b"\0")),
    "a request of 100 bytes": raw(message(REQUEST, b"\0" * 100)),
    "an empty extended": raw(message(EXTENDED)),
    "a have out of range": raw(HAVE_OUT),
    "a bitfield too short": raw(message(BITFIELD, b"\xff")),
    "a bitfield too long": raw(message(BITFIELD, b"\xff" * 5000)),
    "spare bits": raw(message(BITFIELD, b"\xff" * 64)),
    "a second bitfield": after(lambda p, c: c.bitfield([0])),
    "a late have all": after(lambda p, c: c.send(HAVE_ALL)),
    "have none after all": after(lambda p, c: c.send(HAVE_NONE), False),
    "fast without the bit": after(lambda p, c: c.send(
        ALLOWED_FAST, b"\0\0\0\1"), reserved=PLAIN),
    "allowed fast out of range": raw(message(
        ALLOWED_FAST, struct.pack(">I", HUGE)) * 100),
    "suggest out of range": raw(message(
        SUGGEST, struct.pack(">I", HUGE)) * 100),
    "rejects of what was not asked": after(lambda p, c: c.write(message(
        REJECT, struct.pack(">III", 0, 0, BLOCK)) * 500)),
    "cancels of what was not asked": after(lambda p, c: c.write(message(
        CANCEL, struct.pack(">III", HUGE, HUGE, HUGE)) * 500)),
    "requests to a leech": after(lambda p, c: c.write(message(
        REQUEST, struct.pack(">III", HUGE, HUGE, HUGE)) * 50)),
    "unknown messages": after(lambda p, c: c.write(message(
        99, b"what" * 10) * 1000)),
    "extension rubbish": raw(extended(0, os.urandom(3000)),
                             reserved=EXTENSIONS),
    "extension nested deep": raw(extended(0, b"l" * 60000),
                                 reserved=EXTENSIONS),
    "extension of odd values": after(lambda p, c: c.write(extended(
        0, bencode({"m": {"ut_metadata": -7, "x" * 500: 1 << 62},
                    "reqq": -1, "p": 99999999, "v": b"\x1b[2J" * 100,
                    "yourip": b"abc", "metadata_size": -5}))),
        reserved=EXTENSIONS),
    "a reqq of 0": after(lambda p, c: c.write(extended(0, bencode(
        {"m": {}, "reqq": 0}))), reserved=EXTENSIONS),
    "extension ids unknown": after(lambda p, c: c.write(
        extended(200, b"x" * 100) * 100), reserved=EXTENSIONS),
    "never unchokes": never_unchokes,
    "takes requests, answers none": takes_requests_only,
    "rejects all": rejects_all,
    "flaps choke": flaps_choke,
    "chokes when asked": chokes_when_asked,
    "a byte at a time": byte_by_byte,
    "closes in a block": closes_in_a_block,
    "blocks too short": wrong_blocks(lambda i, b, d: (i, b, d[:-1])),
    "blocks too long": wrong_blocks(lambda i, b, d: (i, b, d + b"x")),
    "blocks of no bytes": wrong_blocks(lambda i, b, d: (i, b, b"")),
    "blocks off by one": wrong_blocks(lambda i, b, d: (i, b + 1, d)),
    "blocks of another piece": wrong_blocks(lambda i, b, d: (i + 1, b, d)),
    "blocks of piece 2^32-1": wrong_blocks(lambda i, b, d: (HUGE, HUGE, d)),
    "all unasked": sends_all_unasked,
    "bad blocks always": bad_data(lambda i, b, n: True),
    "one bad block a piece": bad_data(lambda i, b, n: b == 0),
    "one bad block": bad_data(lambda i, b, n: n == 0),
    "a flood of keepalives": floods(b"\0\0\0\0", 16),
    "a flood of unchokes": floods(message(UNCHOKE), 16),
    "a flood of haves": floods(message(HAVE, b"\0\0\0\0"), 16),
    "a flood of unknown messages": floods(message(77, b"z" * 1000)),
}


# ---- what a seeding btget meets

def leech(action, **how):
    """A script: handshake, interested, wait for unchoke, action, wait."""
    def script(peer, conn):
        conn.handshake(**how)
        conn.send(INTERESTED)
        while conn.message()[0] != UNCHOKE:
            pass
        try:
            action(peer, conn)
        finally:
            peer.acted.set()
        conn.linger(1)
    return script


def ask(index, begin, length, times=1):
    return leech(lambda p, c: c.write(message(REQUEST, struct.pack(
        ">III", index, begin, length)) * times))


def request_flood(peer, conn):
    """Asks for ever and never reads an answer."""
    one = message(REQUEST, struct.pack(">III", 0, 0, BLOCK)) * 4000
    for _ in range(100):
        conn.write(one)
        if _ == 10:
            peer.acted.set()


def asks_while_choked(peer, conn):
    conn.handshake()
    conn.write(message(REQUEST, struct.pack(">III", 0, 0, BLOCK)) * 100)
    peer.acted.set()
    conn.wait_end(2)


def flaps_interest(peer, conn):
    conn.handshake()
    for _ in range(20000):
        conn.write(message(INTERESTED) + message(NOT_INTERESTED))
    peer.acted.set()
    conn.linger(1)


def dribbles(peer, conn):
    """A handshake byte by byte, for ever."""
    for at in range(60):
        conn.write((PROTOCOL + PLAIN + peer.torrent.info_hash)[at % 48:][:1])
        peer.acted.set()
        conn.linger(0.5)


def unknown_torrent(peer, conn):
    conn.send_handshake(info_hash=b"\xbb" * 20)
    peer.acted.set()
    conn.wait_end(5)


LEECHES = {
    "silence": instead(b""),
    "half a handshake": instead(PROTOCOL[:11]),
    "rubbish": instead(os.urandom(5000)),
    "http": instead(b"GET / HTTP/1.1\r\n\r\n"),
    "close at once": close_at_once,
    "a torrent not served": unknown_torrent,
    "a handshake in drops": dribbles,
    "a length of 4 GiB": leech(lambda p, c: c.write(
        b"\xff\xff\xff\xff" + b"\6" * 100000)),
    "a request over 16 KiB": ask(0, 0, BLOCK * 9),
    "a request of 4 GiB": ask(0, 0, HUGE),
    "a request of nothing": ask(0, 0, 0, 100),
    "a request beyond the end": ask(0, 1 << 20, BLOCK),
    "a begin of 2^32-1": ask(0, HUGE, BLOCK),
    "an index of 2^32-1": ask(HUGE, 0, BLOCK),
    "a request of 5 bytes": leech(lambda p, c: c.write(
        message(REQUEST, b"\0" * 5))),
    "requests without reading": leech(request_flood),
    "requests while choked": asks_while_choked,
    "cancels of all kinds": leech(lambda p, c: c.write(message(
        CANCEL, struct.pack(">III", HUGE, 1, HUGE)) * 5000)),
    "interest that flaps": flaps_interest,
    "haves out of range": leech(lambda p, c: c.write(HAVE_OUT * 10)),
    "pieces to a seeder": leech(lambda p, c: c.piece(0, 0, b"\x55" * BLOCK)),
    "a bitfield too long": leech(lambda p, c: c.send(
        BITFIELD, b"\xff" * 100000)),
    "extension rubbish": leech(lambda p, c: c.write(
        extended(0, os.urandom(3000))), reserved=EXTENSIONS),
}


def metadata_of(payload):
    """The dict of an extension handshake, for tests that look at it."""
    return bdecode(payload[1:])
