"""lines: a client on the line of a home, which sends much less than it
takes, among peers on lines as slow: test/bench/line.c makes the lines.

The peers are libtorrent with its own settings; it is they who count what the
client gave. Everyone may use TCP and uTP, and peer exchange.
"""
import os
import signal
import subprocess
import sys
import threading
import time

import rivals
import swarm
from cases import MIB, Case, Failed, Proc, same

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "support"))

import line  # noqa: E402  pylint: disable=wrong-import-position
import tracker as trackers  # noqa: E402  pylint: disable=wrong-import-position

PIECE = MIB // 4
LIMIT = 120             # seconds for one run
TRACKER, CLIENT, PEERS = range(3)
PATIENCE = 10           # seconds for a peer to end
BREAK = (6, 26)         # the line is away from then to then, in seconds


# ---- the clients ----

def start_btget(bench, torrent, folder, done):
    return [bench.args.btget, "-q", "--no-config", "--no-dht", "--no-lsd",
            "--no-portmap", "-d", folder, "-p", line.PORT, "--seed-time",
            "1h", "--on-complete", "touch " + done, torrent.file]


def start_aria2(bench, torrent, folder, done):
    script = done + ".sh"
    with open(script, "w", encoding="utf-8") as out:
        out.write("#!/bin/sh\ntouch %s\n" % done)
    os.chmod(script, 0o755)
    return ["aria2c", "--no-conf", "--quiet=true", "--enable-dht=false",
            "--bt-enable-lpd=false", "--file-allocation=none",
            "--listen-port=%d" % line.PORT, "--dir=" + folder,
            "--on-bt-download-complete=" + script, "--seed-ratio=0.0",
            torrent.file]


def libtorrent(kind, torrent, folder, number, done):
    return [rivals.SYSTEM_PYTHON, os.path.join(HERE, "lt_line.py"), kind,
            folder, line.address(number), torrent.file, done,
            line.address(CLIENT)]


def start_libtorrent(bench, torrent, folder, done):
    return libtorrent("qbittorrent", torrent, folder, CLIENT, done)


STARTS = {"btget": start_btget, "libtorrent": start_libtorrent,
          "aria2": start_aria2}


# ---- a case ----

class Street:
    """The lines of one run, and who is behind them."""

    def __init__(self, case, bench):
        self.case, self.bench = case, bench
        self.at_end = []        # the tracker's
        self.procs = []
        self.timers = []
        self.done = os.path.join(bench.work, "line.done")
        self.lines = line.Lines(bench.tool("line"), case.lines())
        with self.lines.inside(TRACKER):
            tracker = trackers.Tracker(self, line.address(TRACKER),
                                       interval=1800)
        self.torrent = swarm.with_tracker(
            bench, bench.torrent(case.size * MIB, PIECE), tracker)

    def peer(self, kind, number):
        """Runs until who_gave() or close()."""
        folder = os.path.dirname(self.torrent.data) if kind == "seed" else \
            self.bench.empty("line-%d" % number)
        words = libtorrent(kind, self.torrent, folder, number,
                           os.path.join(self.bench.work, "peer.done"))
        self.procs.append(subprocess.Popen(
            [str(w) for w in self.lines.enter(number) + words],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, start_new_session=True))

    def client(self, name, folder):
        words = STARTS[name](self.bench, self.torrent, folder, self.done)
        return Proc(rivals.Start(self.lines.enter(CLIENT) + words,
                                 self.done))

    def break_later(self):
        for when in BREAK:
            self.timers.append(threading.Timer(
                when, self.lines.break_or_mend))
            self.timers[-1].start()

    def gave(self):
        """Ends the peers; MiB that they had of the client."""
        for one in self.procs:
            one.terminate()
        try:
            told = [one.communicate(timeout=PATIENCE)[0]
                    for one in self.procs]
            return sum(int(text) for text in told) / MIB
        except (ValueError, subprocess.TimeoutExpired) as why:
            raise Failed("a peer does not say what came") from why

    def close(self):
        for one in self.timers:
            one.cancel()
        for one in self.procs:
            one.kill()
            one.wait()
            one.stdout.close()
        for end in self.at_end:
            end()
        self.lines.close()
        for number in range(len(self.case.lines())):
            self.bench.forget("line-%d" % number)


class Line(Case):
    """own: the client's line; seeds, leeches: those of the others. With
    early=True they are there two seconds before the client. With breaks=True
    lines that break do so. names: who is done in time."""
    columns = ("wall", "gave")
    note = "ratios are to libtorrent; gave: MiB that others had of the client"
    reference = "libtorrent"
    long = True

    def __init__(self, title, size, own, seeds, leeches, early=True,
                 breaks=False, names=("btget", "libtorrent")):
        self.title = title
        self.names = names
        self.size = size        # MiB
        self.own, self.seeds, self.leeches = own, seeds, leeches
        self.early = early
        self.breaks = breaks

    def missing(self, bench):
        if not bench.namespace:
            return "no namespaces allowed here"
        if not bench.known["libtorrent"].there:
            return "python3-libtorrent is missing, which the peers are"
        return line.missing()

    def lines(self):
        return [line.server(), self.own, *self.seeds, *self.leeches]

    def run(self, bench, client):
        street = Street(self, bench)
        proc = None
        try:
            for number in range(len(self.seeds)):
                street.peer("seed", PEERS + number)
            if not self.early:
                time.sleep(1)
                proc = street.client(client.name, bench.empty("got"))
            for number in range(len(self.leeches)):
                street.peer("leech", PEERS + len(self.seeds) + number)
            if self.early:
                time.sleep(2)
                proc = street.client(client.name, bench.empty("got"))
            if self.breaks:
                street.break_later()
            wall, cpu = proc.wait(LIMIT)
            gave = street.gave()
            proc.kill(signal.SIGTERM)
            same(street.torrent, os.path.join(bench.work, "got"))
        finally:
            if proc:
                proc.kill()
            street.close()
            bench.forget("got")
        return {"wall": wall, "gave": gave, "cpu": cpu}


# ---- the cases ----

HOME = line.home()
ONE_FRIEND = {"only": (TRACKER, CLIENT)}
CASES = {
    "line-up": Line(
        "a line of 20/2 Mbit/s with a queue of 300 KB: a seed of 8 Mbit/s "
        "that is ours alone, 4 leeches that live from us", 16,
        line.home(up_queue=300000), [line.home(up=8, **ONE_FRIEND)],
        [HOME] * 4),
    "line-swarm": Line(
        "8 leeches with lines of 20/2 Mbit/s, a seed of 8 Mbit/s", 16, HOME,
        [line.home(up=8)], [HOME] * 7, early=False, names=tuple(STARTS)),
    "line-down": Line(
        "a line of 20/2 Mbit/s, full: 3 seeds of 20 Mbit/s that are ours "
        "alone, 4 leeches that live from us", 64,
        line.home(down_queue=300000),
        [line.home(up=20, **ONE_FRIEND)] * 3, [HOME] * 4),
    "line-break": Line(
        "a line of 20/2 Mbit/s that is away for 20 s, 6 s after the start; 3 "
        "seeds of 8 Mbit/s", 32, line.home(breaks=True),
        [line.home(up=8)] * 3, [], breaks=True, names=tuple(STARTS)),
}
