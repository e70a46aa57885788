"""swarm: one seeder and some leeches, all with the same limit of upload.

The least time in which everyone can have everything is what one copy takes
the seeder, since each leech can pass on as fast as the seeder sends. How
near a swarm comes, and how much the seeder has to send for it, is up to
picker and choker.
"""
import contextlib
import os
import signal
import sys
import time

import rivals
from cases import MIB, Case, Failed, Proc, same

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "support"))

import tracker as trackers  # noqa: E402  pylint: disable=wrong-import-position

RATE = 8 * MIB
SIZE = 128              # MiB
PIECE = MIB // 4


class Watched:
    """What the tracker of the tests wants of a test."""

    def __init__(self):
        self.at_end = []


def start_btget(bench, torrent, folder, port, done):
    client = bench.known["btget"]
    words = client.base(torrent, folder, 50) + [
        "-p", port, "--up-limit", "%d" % RATE, "--seed-time", "1h",
        "--on-complete", "touch " + done, *bench.swarm_words, torrent.file]
    return rivals.Start(words, done)


def start_aria2(bench, torrent, folder, port, done):
    client = bench.known["aria2"]
    script = done + ".sh"
    with open(script, "w", encoding="utf-8") as out:
        out.write("#!/bin/sh\ntouch %s\n" % done)
    os.chmod(script, 0o755)
    return rivals.Start(client.base(torrent, folder, 50) + [
        "--listen-port=%d" % port, "--max-upload-limit=%d" % RATE,
        "--seed-ratio=0.0", "--check-integrity=true",
        "--on-bt-download-complete=" + script, torrent.file], done)


def start_libtorrent(bench, torrent, folder, port, done):
    return rivals.Start([
        rivals.SYSTEM_PYTHON, os.path.join(HERE, "lt_bench.py"), "swarm",
        folder, "0.0.0.0", port, torrent.file, RATE, done], done)


def with_tracker(bench, made, tracker):
    """The bench's torrent, but with our own tracker."""
    with open(made.file, "rb") as old:
        raw = old.read()
    made.file = os.path.join(bench.work, "swarm.torrent")
    url = tracker.url.encode()
    with open(made.file, "wb") as out:
        out.write(b"d8:announce%d:%s" % (len(url), url) +
                  raw[raw.index(b"4:info"):])
    bench.torrents.clear()
    return made


STARTS = {"btget": start_btget, "aria2": start_aria2,
          "libtorrent": start_libtorrent}


class Member:
    """A client at work, at a port of its own."""

    def __init__(self, swarm, kind, number):
        self.kind = kind
        self.port = rivals.CLIENT_PORT + number
        self.folder = swarm.bench.empty("swarm-%d" % number)
        self.done = os.path.join(swarm.bench.work, "swarm-%d.done" % number)
        if number == 0:
            os.link(swarm.data, os.path.join(
                self.folder, os.path.basename(swarm.data)))
        self.proc = Proc(STARTS[kind](swarm.bench, swarm.torrent,
                                      self.folder, self.port, self.done))
        self.wall = None

    def look(self, began):
        if self.wall is None and os.path.exists(self.done):
            self.wall = (time.monotonic_ns() - began) / 1e9
        self.proc.look()
        return self.wall is not None


class Swarm(Case):
    """kinds: what the leeches are; None: the client that is measured."""
    columns = ("bound_ratio", "copies", "cpu")
    note = ("the bound is what one copy takes the seeder; copies: sent by "
            "the seeder; cpu: of all together, for each GiB that came")

    def __init__(self, title, kinds=None, leeches=6, extra=()):
        self.title = title
        self.kinds = kinds
        self.leeches = leeches
        self.extra = list(extra)
        self.bench = self.torrent = self.data = self.watched = None
        self.long = True
        if kinds:
            self.columns += tuple(dict.fromkeys(k + "_sent" for k in kinds))

    def clients(self, bench):
        if self.kinds or self.extra:
            return bench.clients(("btget",))
        return bench.clients(tuple(STARTS))

    def wait_for(self, condition, seconds, what):
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise Failed("not after %d s: %s" % (seconds, what))
            time.sleep(0.01)

    def sent(self, tracker, members):
        """Copies that each has sent, by its own last word to the tracker.
        aria2 often leaves without one: the rest is its."""
        told = {a.port: a.uploaded / (SIZE * MIB) for a in tracker.announces
                if a.event == "stopped"}
        silent = [m.port for m in members if m.port not in told]
        if members[0].port in told and len({
                m.kind for m in members if m.port in silent}) == 1:
            rest = len(members) - 1 - sum(told.values())
            told.update({port: rest / len(silent) for port in silent})
        return told

    def end(self, tracker, members):
        """Ends them, and waits until the tracker knows it."""
        for one in members:
            with contextlib.suppress(OSError):
                os.kill(one.proc.pid, signal.SIGTERM)
        ports = {one.port for one in members}
        with contextlib.suppress(Failed):
            self.wait_for(lambda: ports <= {
                a.port for a in list(tracker.announces)
                if a.event == "stopped"}, 10, "stopped")

    def figures(self, tracker, members):
        leeches = members[1:]
        cpu = sum(m.cpu for m in members)
        sent = self.sent(tracker, members)
        found = {"wall": max(m.wall for m in leeches),
                 "cpu": cpu * 1024 / (SIZE * len(leeches))}
        if members[0].port in sent:
            found["copies"] = sent[members[0].port]
        found["bound_ratio"] = found["wall"] * RATE / (SIZE * MIB)
        for kind in dict.fromkeys(m.kind for m in leeches):
            some = [m for m in leeches if m.kind == kind]
            if self.kinds:
                found[kind + "_s"] = sum(m.wall for m in some) / len(some)
            if all(m.port in sent for m in some):
                found[kind + "_sent"] = sum(
                    sent[m.port] for m in some) / len(some)
        return found

    def run(self, bench, client):
        self.bench = bench
        bench.swarm_words = self.extra
        watched = Watched()
        tracker = trackers.Tracker(watched, bench.seeder, interval=1800)
        self.torrent = with_tracker(
            bench, bench.torrent(SIZE * MIB, PIECE), tracker)
        self.data = self.torrent.data
        members = []
        try:
            members.append(Member(self, client.name, 0))
            self.wait_for(lambda: tracker.announces, 30, "an announce")
            began = time.monotonic_ns()
            kinds = self.kinds or [client.name] * self.leeches
            for number, kind in enumerate(kinds):
                members.append(Member(self, kind, number + 1))
            self.wait_for(lambda: all([m.look(began) for m in members[1:]]),
                          120, "all leeches have it")
            for one in members:
                one.cpu = one.proc.cpu()
            self.end(tracker, members)
            for one in members[1:]:
                same(self.torrent, one.folder)
            return self.figures(tracker, members)
        finally:
            for one in members:
                one.proc.kill()
                bench.forget(os.path.basename(one.folder))
                with contextlib.suppress(OSError):
                    os.unlink(one.done)
            for end in watched.at_end:
                end()


MIX = ["btget", "btget", "aria2", "aria2", "libtorrent", "libtorrent"]
CASES = {
    "swarm": Swarm("a seeder and 6 leeches of 8 MiB/s each, 128 MiB"),
    "swarm-super": Swarm("the same with --super-seed",
                         extra=["--super-seed"]),
    "swarm-mix": Swarm("the same with leeches of three kinds", MIX),
}
