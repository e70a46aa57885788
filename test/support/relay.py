"""relay: a path for datagrams that loses, doubles and overtakes them.

It listens where a peer might, by UDP alone: a TCP connection to it is
refused. Whoever sends to it talks to the real peer behind it.
"""
import contextlib
import heapq
import random
import select
import socket
import threading
import time


class Relay:
    """Of 1,000 datagrams so many are lost, doubled, or late by late_s."""

    def __init__(self, t, port, host="127.0.0.1", lose=0, twice=0, late=0,
                 late_s=0.03, listen=None, seed=1):
        self.behind = (host, port)
        self.dice = random.Random(seed)
        self.lose, self.twice, self.late = lose, twice, late
        self.late_s = late_s
        self.heard = 0		# from who calls
        self.answered = 0
        self.lost = 0
        self.cut = False
        self.front = self.open(listen or host)
        self.where = self.front.getsockname()
        self.name = "%s:%d" % self.where
        self.callers = {}	# by our socket towards the peer
        self.sockets = {}	# by the caller's address
        self.waiting = []
        self.order = 0
        self.stop = False
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        t.at_end.append(self.close)

    @staticmethod
    def open(host):
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            made.setsockopt(socket.SOL_SOCKET, option, 4 << 20)
        made.bind((host, 0))
        made.setblocking(False)
        return made

    def towards(self, caller):
        if caller not in self.sockets:
            made = self.open(self.front.getsockname()[0])
            self.sockets[caller] = made
            self.callers[made] = caller
        return self.sockets[caller]

    def rolls(self, of_1000):
        return self.dice.randrange(1000) < of_1000

    def carry(self, data, by, to):
        if self.cut or self.rolls(self.lose):
            self.lost += 1
            return
        for _ in range(2 if self.rolls(self.twice) else 1):
            if self.rolls(self.late):
                self.order += 1
                heapq.heappush(self.waiting, (
                    time.monotonic() + self.late_s, self.order, data, by, to))
            else:
                self.send(data, by, to)

    @staticmethod
    def send(data, by, to):
        with contextlib.suppress(OSError):
            by.sendto(data, to)

    def take(self, one):
        with contextlib.suppress(OSError):
            for _ in range(64):
                data, sender = one.recvfrom(65536)
                if one is self.front:
                    self.heard += 1
                    self.carry(data, self.towards(sender), self.behind)
                else:
                    self.answered += 1
                    self.carry(data, self.front, self.callers[one])

    def run(self):
        while not self.stop:
            wait = 0.1
            if self.waiting:
                wait = max(0, self.waiting[0][0] - time.monotonic())
            ready = select.select([self.front, *self.callers], [], [],
                                  min(wait, 0.1))[0]
            for one in ready:
                self.take(one)
            while self.waiting and self.waiting[0][0] <= time.monotonic():
                self.send(*heapq.heappop(self.waiting)[2:])

    def close(self):
        self.stop = True
        self.thread.join()
        for one in (self.front, *self.callers):
            one.close()
