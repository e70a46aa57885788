"""utp: a scripted caller by uTP, that does as it is told and no more."""
import contextlib
import os
import socket
import struct
import time

DATA, FIN, STATE, RESET, SYN = range(5)
HEADER = ">BBHIIIHH"


def packet(kind, number, seq=1, ack=0, data=b"", window=1 << 20, version=1,
           extension=0):
    now = int(time.monotonic() * 1e6) & 0xffffffff
    return struct.pack(HEADER, kind << 4 | version, extension, number, now,
                       0, window, seq & 0xffff, ack & 0xffff) + data


def read(raw):
    """kind, id, seq, ack, the rest; None when it is no uTP."""
    if len(raw) < 20 or raw[0] & 15 != 1:
        return None
    words = struct.unpack(HEADER, raw[:20])
    at, extension = 20, words[1]
    while extension:
        extension, size = raw[at], raw[at + 1]
        at += 2 + size
    return words[0] >> 4, words[2], words[6], words[7], raw[at:]


class Caller:
    """Calls from a port of its own."""

    def __init__(self, t, where, host="127.0.0.1"):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((host, 0))
        self.socket.connect(where)
        self.number = int.from_bytes(os.urandom(2), "big") & 0xfff0
        self.seq, self.ack = 1, 0
        self.came = b""
        self.resets = 0
        t.at_end.append(self.socket.close)

    def send(self, kind, seq, data=b"", number=None, **more):
        raw = packet(kind, self.number + 1 if number is None else number,
                     seq, self.ack, data, **more)
        with contextlib.suppress(ConnectionRefusedError, BlockingIOError):
            self.socket.send(raw)

    def call(self):
        self.send(SYN, self.seq, number=self.number)

    def answered(self, seconds=5):
        """Whether our SYN is answered."""
        got = self.receive(seconds)
        while got and got[0] != STATE:
            got = self.receive(seconds)
        if got:
            self.ack = got[2] - 1
        return bool(got)

    def say(self, data):
        self.seq += 1
        self.send(DATA, self.seq, data)

    def receive(self, seconds=0.0):
        """The next packet; data that is next in line is taken, and said to
        be."""
        self.socket.settimeout(seconds or 0.001)
        with contextlib.suppress(OSError):
            got = read(self.socket.recv(65536))
            if got and got[0] == RESET:
                self.resets += 1
            if got and got[0] == DATA and \
                    got[2] == (self.ack + 1) & 0xffff:
                self.ack = got[2]
                self.came += got[4]
                self.send(STATE, self.seq + 1)
            return got
        return None
