"""swarm: the set-ups that many tests share.

A Scene is a torrent of some made-up data, saved as scene.file, with a
scripted tracker; honest scripted seeds can be added to it.
"""
import os
import socket
import threading
import time

import peer
import sample
import tracker
from harness import wait_for

MIB = 1 << 20


class Scene:
    """size bytes in one file, or files as for sample.make_tree."""

    def __init__(self, t, size=4 * MIB, files=None, **more):
        self.t = t
        name = more.pop("name", "data.bin" if files is None else "data")
        self.tracker = tracker.Tracker(
            t, more.pop("host", "127.0.0.1"), more.pop("static", ()),
            more.pop("script", None), **more.pop("tracker", {}))
        self.source = t.folder("source-" + str(self.tracker.port))
        self.path = os.path.join(self.source, name)
        if files is None:
            sample.make_file(self.path, size, more.pop("seed", name))
        else:
            sample.make_tree(self.path, files)
        announce = more.pop("announce", self.tracker.url)
        self.torrent = sample.make_torrent(self.path, announce, **more)
        self.content = sample.read_content(self.path, more.get("order"))
        self.file = self.torrent.save(os.path.join(self.source,
                                                   name + ".torrent"))
        self.target = t.path("target-" + str(self.tracker.port))

    def seed(self, script=peer.good_seed, host="127.0.0.1", **more):
        """Adds a scripted peer that the tracker tells everybody of."""
        one = peer.Peer(self.t, self.torrent, self.content, script,
                        host=host, **more)
        self.tracker.static.append(one.where)
        return one

    def slow_seed(self, delay_s, **more):
        """An honest seed that takes this long for each block."""
        def script(one, conn):
            peer.greet(one, conn)

            def answer(index, begin, length):
                conn.linger(delay_s)
                return one.block(index, begin, length)
            peer.serve(one, conn, answer)
        return self.seed(script, **more)

    def seed_of(self, count, **more):
        """An honest seed that gives so many blocks, and the others only once
        the event .go is set."""
        go = threading.Event()

        def script(one, conn):
            peer.greet(one, conn)

            def answer(index, begin, length):
                conn.linger(0.005)
                while len(one.requests) > count and not go.wait(0.05):
                    conn.check()
                return one.block(index, begin, length)
            peer.serve(one, conn, answer)
        one = self.seed(script, **more)
        one.go = go
        return one

    @property
    def result(self):
        return os.path.join(self.target, self.torrent.name)

    @property
    def part(self):
        return self.result + ".part"

    @property
    def state(self):
        return os.path.join(self.target, ".btget",
                            self.torrent.hex + ".state")

    def start(self, *args, **options):
        """Starts the download into scene.target."""
        return self.t.btget("-d", self.target, "-p", "0", *args, self.file,
                            **options)

    def download(self, *args, code=0, seconds=60, **options):
        return self.start(*args, **options).expect(code, seconds)

    def check(self):
        sample.assert_same(self.path, self.result)
        assert not os.path.exists(self.part), "a .part is left"

    def plant(self, folder, have):
        """Puts the data into folder with only these pieces right."""
        names = sample.list_tree(self.path) \
            if os.path.isdir(self.path) else [""]
        content = bytearray(self.content)
        length = self.torrent.piece_length
        for index in range(self.torrent.piece_count):
            if index not in have:
                size = self.torrent.piece_size(index)
                content[index * length:index * length + size] = bytes(size)
        at = 0
        for name in names:
            size = os.path.getsize(os.path.join(self.path, name)
                                   if name else self.path)
            where = os.path.join(folder, self.torrent.name)
            sample.write_file(os.path.join(where, name) if name else where,
                              bytes(content[at:at + size]))
            at += size

    def sent_by(self, one):
        """What the scripted peer has sent, which gave all there is: it counts
        a block only once that has gone."""
        wait_for(lambda: one.sent >= self.torrent.length, 10, "its count")
        return one.sent

    def wait_requests(self, one, count, proc, seconds=30):
        """Until the scripted peer was asked for count blocks."""
        wait_for(lambda: len(one.requests) >= count, seconds,
                 "%d requests" % count, alive=[proc])


class Flag:
    """Looks like an event to a scripted peer: set once condition() is."""

    def __init__(self, condition, more_s=1.0):
        self.condition = condition
        self.more_s = more_s
        self.since = None

    def wait(self, seconds):
        time.sleep(seconds)
        if self.since is None and self.condition():
            self.since = time.monotonic()
        return self.since is not None and \
            time.monotonic() - self.since > self.more_s


class Blackhole:
    """A TCP port on which nobody ever accepts, of which a connect hangs."""

    def __init__(self, t, host="127.0.0.1"):
        self.listener = socket.socket()
        self.listener.bind((host, 0))
        self.listener.listen(0)
        self.where = self.listener.getsockname()
        self.fillers = []
        for _ in range(3):
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex(self.where)
            self.fillers.append(one)
        t.at_end.append(self.close)

    def close(self):
        for one in self.fillers + [self.listener]:
            one.close()
