#!/usr/bin/python3
"""run: the bench: btget against floors and rivals.

    run.py                              all cases, small, some minutes
    run.py --cases get-1m,seed-1        these
    run.py --size 2048 --rounds 5       MiB for each download; rounds
    run.py --clients floor,btget        these clients
    run.py --dry                        prints, and writes no document

Every round runs every client once, so that what disturbs the machine
disturbs all of them; ratios are taken within a round, and their median is
what counts. What was downloaded is compared with what was sent. All of it
runs in a network namespace of its own where the system allows it.
"""
import argparse
import contextlib
import hashlib
import json
import mmap
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile

import cases
import lines
import report
import rivals
import swarm

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
INSIDE = "BTGET_BENCH_INSIDE"
REPORTING = "/sys/module/page_reporting"
WARM_UPS = 6
HUGE = 1 << 21

CASES = {**cases.CASES, **swarm.CASES, **lines.CASES}


def bencode(value):
    if isinstance(value, int):
        return b"i%de" % value
    if isinstance(value, str):
        value = value.encode()
    if isinstance(value, bytes):
        return b"%d:%s" % (len(value), value)
    if isinstance(value, list):
        return b"l" + b"".join(bencode(v) for v in value) + b"e"
    return b"d" + b"".join(bencode(k) + bencode(value[k])
                           for k in sorted(value)) + b"e"


class Torrent:
    """A torrent of the bench, and the words that its tools take."""

    def __init__(self, bench, info, data=None):
        self.name = info["name"]
        self.data = data
        self.piece = info["piece length"]
        self.length = info.get("length") or sum(
            f["length"] for f in info["files"])
        self.hash = hashlib.sha1(bencode(info)).hexdigest()
        self.file = os.path.join(bench.work, "%s-%d.torrent" % (
            self.name, self.piece))
        with open(self.file, "wb") as out:
            out.write(bencode({"announce": "http://%s:%d/announce" % (
                bench.seeder, bench.port), "info": info}))

    def words(self):
        return ["hash=" + self.hash, "length=%d" % self.length,
                "piece=%d" % self.piece]


class Bench:
    port = 7001

    def __init__(self, args):
        self.args = args
        self.namespace = os.environ.get(INSIDE) == "net"
        self.seeder = "10.77.1.1" if self.namespace else "127.0.1.1"
        self.leech = "10.77.3.1" if self.namespace else "127.0.3.1"
        self.work = tempfile.mkdtemp(prefix="btget-bench-", dir=args.tmp)
        self.known = {c.name: c for c in (one(self) for one in rivals.ALL)}
        self.torrents = {}

    def tool(self, name):
        return os.path.join(self.args.build, "bench", name)

    def clients(self, names=None):
        wanted = self.args.clients or list(self.known)
        return [c for n, c in self.known.items() if c.there and
                n in wanted and (names is None or n in names)]

    def empty(self, name):
        """A new folder with nothing in it."""
        path = os.path.join(self.work, name)
        shutil.rmtree(path, ignore_errors=True)
        os.makedirs(path)
        return path

    def forget(self, name):
        shutil.rmtree(os.path.join(self.work, name), ignore_errors=True)

    def torrent(self, size, piece):
        """A torrent of one file of random data, which is kept."""
        name = "data-%d" % size
        key = (size, piece)
        if key in self.torrents:
            return self.torrents[key]
        folder = os.path.join(self.work, name)
        path = os.path.join(folder, name)
        if not os.path.exists(path):
            os.makedirs(folder)
            with open(path, "wb") as out:
                for at in range(0, size, 1 << 20):
                    out.write(os.urandom(min(1 << 20, size - at)))
        pieces = b""
        with open(path, "rb") as data:
            for at in range(0, size, piece):
                pieces += hashlib.sha1(data.read(piece)).digest()
        self.torrents[key] = Torrent(self, {
            "name": name, "length": size, "piece length": piece,
            "pieces": pieces}, path)
        return self.torrents[key]

    def make(self, info):
        """A torrent whose data nobody has."""
        return Torrent(self, info)

    def close(self):
        shutil.rmtree(self.work, ignore_errors=True)


def enter_namespace():
    """Starts this script again in namespaces of its own, if that can be."""
    if os.environ.get(INSIDE):
        return
    words = ["unshare", "--user", "--map-root-user", "--net", "--pid",
             "--mount", "--fork", "--kill-child", "--mount-proc"]
    if subprocess.run(words + ["true"], capture_output=True,
                      check=False).returncode:
        print("no namespaces here: Transmission is left out")
        os.environ[INSIDE] = "host"
        return
    os.environ[INSIDE] = "new"
    os.execvp(words[0], words + [sys.executable] + sys.argv)


def set_up_network():
    if os.environ[INSIDE] != "new":
        return
    # All of 10.77/16 is this machine, then.
    for words in ("addr add 10.77.0.1/16 dev lo", "link set lo up"):
        subprocess.run(["ip"] + words.split(), check=True)
    os.environ[INSIDE] = "net"


def keep_warm(size):
    """Uses so many bytes of memory once, or half of what is free, and keeps a
    page of each 2 MiB.

    A virtual machine may give free memory back to its host, in blocks of
    2 MiB; a file written to such memory takes five times as long, and whether
    it is, is chance.  Where a page is in use the rest of the block stays.
    """
    if not os.path.exists(REPORTING):
        return None
    free = os.sysconf("SC_AVPHYS_PAGES") * mmap.PAGESIZE
    size = min(size, free // 2) // HUGE * HUGE
    memory = mmap.mmap(-1, size)
    memory.madvise(mmap.MADV_NOHUGEPAGE)
    for at in range(0, size, mmap.PAGESIZE):
        memory[at] = 1
    for at in range(0, size, HUGE):
        memory.madvise(mmap.MADV_DONTNEED, at + mmap.PAGESIZE,
                       HUGE - mmap.PAGESIZE)
    return memory


def parse_args():
    p = argparse.ArgumentParser()
    p.add_argument("--cases", type=lambda s: s.split(","), default=[])
    p.add_argument("--clients", type=lambda s: s.split(","))
    p.add_argument("--size", type=int, default=512, help="MiB")
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--build", default=os.path.join(ROOT, "build"))
    p.add_argument("--btget", help="another btget")
    p.add_argument("--tmp", default="/dev/shm")
    p.add_argument("--dry", action="store_true")
    p.add_argument("--list", action="store_true")
    args = p.parse_args()
    args.build = os.path.abspath(args.build)
    args.btget = args.btget or os.path.join(args.build, "btget")
    for name in args.cases:
        if name not in CASES:
            p.error("no case '%s'; there are: %s" % (
                name, " ".join(CASES)))
    return args


def medians(rounds, reference):
    """From [{client: {figure: value}}], a dict a round, the medians of
    values and of ratios to the reference in the same round."""
    out = {}
    for client in dict.fromkeys(c for r in rounds for c in r):
        got = [r[client] for r in rounds if r.get(client)]
        if not got:
            out[client] = {}
            continue
        out[client] = {f: statistics.median(g[f] for g in got if f in g)
                       for f in dict.fromkeys(f for g in got for f in g)}
        for figure in ("wall", "cpu"):
            ratios = [r[client][figure] / r[reference][figure]
                      for r in rounds if r.get(client) and
                      r.get(reference) and figure in r[client] and
                      r[reference].get(figure)]
            if ratios:
                out[client][figure + "_ratio"] = statistics.median(ratios)
        out[client]["runs"] = len(got)
    return out


def attempt(bench, case, client, label):
    """One run: its figures, or None where it failed."""
    try:
        got = case.run(bench, client)
    except cases.Failed as why:
        print("  %s: %s" % (client.name, why))
        got = None
    print("  %s %-12s %s" % (label, client.name, " ".join(
        "%s=%.4g" % pair for pair in (got or {}).items())), flush=True)
    return got


def warm_up(bench, case, client):
    """Runs the floor until it gets no faster, and forgets what it took."""
    last = None
    for _ in range(WARM_UPS):
        got = attempt(bench, case, client, "-")
        if not got or last and got["wall"] > 0.9 * last["wall"]:
            break
        last = got


def run_case(bench, name):
    case = CASES[name]
    clients = list(case.clients(bench))
    rounds = []
    if clients and clients[0].name == "floor":
        warm_up(bench, case, clients[0])
    for number in range(bench.args.rounds):
        rounds.append({client.name: None for client in clients})
        first = number % max(len(clients), 1)
        for client in clients[first:] + clients[:first]:
            rounds[-1][client.name] = attempt(bench, case, client,
                                              number + 1)
    return medians(rounds, case.reference)


def main():
    args = parse_args()
    if args.list:
        for name, case in CASES.items():
            print("%-10s %s" % (name, case.title))
        return
    enter_namespace()
    set_up_network()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    bench = Bench(args)
    bench.warm = keep_warm(6 * (args.size << 20) + (1 << 30))
    results = report.load(ROOT)
    try:
        for name in args.cases or [n for n, c in CASES.items()
                                   if not c.long]:
            print("%s: %s" % (name, CASES[name].title), flush=True)
            case = CASES[name]
            why = case.missing(bench)
            if why:
                print("  skipped: " + why)
                continue
            found = run_case(bench, name)
            results[name] = report.note(bench, case, found)
            print(report.table(results[name]), flush=True)
    finally:
        with contextlib.suppress(OSError):
            bench.close()
    if not args.dry:
        report.save(ROOT, results, list(CASES))


if __name__ == "__main__":
    main()
