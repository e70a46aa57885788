"""cases: what is measured, and how.

A case has a title, a note on how it is judged, clients(bench), and
run(bench, client), which gives figures: wall and cpu in seconds (cpu for each
GiB where bytes flow), own (peak of the memory that is nobody else's, MiB),
peak (resident, with mapped files), and others that its columns name.
"""
import contextlib
import filecmp
import os
import select
import signal
import subprocess
import time

import rivals

GIB = 1 << 30
MIB = 1 << 20
PATIENCE = 240          # seconds for one run


class Failed(Exception):
    pass


# ---- processes ----

def cpu_seconds(pid):
    """User and system time of a process, with its ended threads."""
    return time.clock_gettime((~pid << 3) | 2)


def status(pid):
    found = {}
    with contextlib.suppress(OSError), \
            open("/proc/%d/status" % pid, encoding="utf-8") as lines:
        for line in lines:
            name, _, value = line.partition(":")
            found[name] = value.split()[0] if value.split() else ""
    return found


class Proc:
    """A client that runs, watched until it is done."""

    def __init__(self, start):
        self.start = start
        if start.done:
            with contextlib.suppress(OSError):
                os.unlink(start.done)
        options = dict(start.options)
        options.setdefault("stdin", subprocess.DEVNULL)
        options.setdefault("stdout", subprocess.DEVNULL)
        self.began = time.monotonic_ns()
        self.popen = subprocess.Popen(
            start.words, stderr=subprocess.DEVNULL, start_new_session=True,
            env=dict(os.environ, TERM="xterm", LC_ALL="C.UTF-8"), **options)
        self.pid = self.popen.pid
        self.fd = os.pidfd_open(self.pid)
        self.own = self.peak = 0
        self.ended = None
        self.code = None
        start.close()

    def look(self):
        now = status(self.pid)
        self.own = max(self.own, int(now.get("RssAnon") or 0) / 1024)
        self.peak = max(self.peak, int(now.get("VmHWM") or 0) / 1024)

    def wait(self, seconds=PATIENCE):
        """Until it is done; returns wall and CPU seconds."""
        poll = select.poll()
        poll.register(self.fd, select.POLLIN)
        end = time.monotonic() + seconds
        while True:
            if poll.poll(10 if self.start.done else 50):
                self.ended = time.monotonic_ns()
                _, code, usage = os.wait4(self.pid, 0)
                self.code = os.waitstatus_to_exitcode(code)
                self.popen.returncode = self.code
                if self.start.done or self.code != 0:
                    raise Failed("ended with status %d" % self.code)
                return ((self.ended - self.began) / 1e9,
                        usage.ru_utime + usage.ru_stime)
            self.look()
            if self.start.done and os.path.exists(self.start.done):
                cpu = cpu_seconds(self.pid)
                return (time.monotonic_ns() - self.began) / 1e9, cpu
            if time.monotonic() > end:
                raise Failed("not done after %d s" % seconds)

    def cpu(self):
        return cpu_seconds(self.pid)

    def kill(self, number=signal.SIGKILL):
        if self.fd < 0:
            return
        if self.popen.returncode is None:
            with contextlib.suppress(OSError):
                os.kill(self.pid, number)
            self.popen.wait()
        os.close(self.fd)
        self.fd = -1


class Seeder:
    """A blaster that seeds; its words after "ready" are in .first."""

    def __init__(self, bench, torrent, peers=1, **more):
        words = [bench.tool("blaster"), "seed", *torrent.words(),
                 "port=%d" % bench.port, "host=" + bench.seeder,
                 "peers=%d" % peers]
        words += ["%s=%s" % pair for pair in more.items()]
        self.popen = subprocess.Popen(words, stdout=subprocess.PIPE,
                                      start_new_session=True)
        self.line("ready")

    def line(self, word, seconds=10):
        """The number in the next line, which begins with the word."""
        if not select.select([self.popen.stdout], [], [], seconds)[0]:
            raise Failed("the seeder does not say '%s'" % word)
        text = self.popen.stdout.readline().decode().split()
        if not text or text[0] != word:
            raise Failed("the seeder says %r, not '%s'" % (text, word))
        return int(text[1]) if len(text) > 1 else 0

    def close(self):
        self.popen.terminate()
        self.popen.wait()
        self.popen.stdout.close()


def same(torrent, folder):
    """Fails unless what is in the folder is the torrent's data."""
    path = os.path.join(folder, torrent.name)
    if not os.path.exists(path) or not filecmp.cmp(path, torrent.data,
                                                   shallow=False):
        raise Failed("what it wrote is not what was sent")


# ---- downloads ----

class Case:
    long = False
    names = None
    reference = "floor"     # whose figures are 1.00

    def missing(self, bench):
        """Why it cannot be run here, or None."""
        return None

    def clients(self, bench):
        return bench.clients(self.names)


class Get(Case):
    columns = ("wall", "cpu", "own")
    note = "cpu is for each GiB; the floor has one peer"

    def __init__(self, title, peers, piece, names=None, **more):
        self.title = title
        self.peers = peers
        self.piece = piece
        self.names = names
        self.long = more.pop("long", False)
        self.scale = more.pop("scale", 1)
        self.more = more

    def run(self, bench, client):
        torrent = bench.torrent(int(bench.args.size * MIB * self.scale),
                                self.piece)
        folder = bench.empty("got")
        seeder = Seeder(bench, torrent, self.peers, data=torrent.data,
                        **self.more)
        proc = None
        try:
            proc = Proc(client.get(torrent, folder, self.peers))
            wall, cpu = proc.wait()
            proc.kill()
            same(torrent, folder)
        finally:
            if proc:
                proc.kill()
            seeder.close()
            bench.forget("got")
        return {"wall": wall, "cpu": cpu * GIB / torrent.length,
                "own": proc.own, "peak": proc.peak}


# ---- seeding ----

class Seed(Case):
    columns = ("wall", "cpu", "own")
    note = ("cpu is for each GiB sent; the floor is a seeder that maps the "
            "file; wall is from the first block to the last")

    def __init__(self, title, leeches, long=False):
        self.title = title
        self.leeches = leeches
        self.long = long
        self.compared = set()

    def leech(self, bench, torrent, size, check):
        words = [bench.tool("blaster"), "leech", *torrent.words(),
                 "host=" + ("10.77.0.1" if bench.namespace else "127.0.0.1"),
                 "port=%d" % rivals.CLIENT_PORT, "from=" + bench.leech,
                 "connections=%d" % self.leeches, "inflight=128",
                 "bytes=%d" % size]
        if check:
            words += ["data=" + torrent.data, "check=1"]
        done = subprocess.run(words, capture_output=True, timeout=PATIENCE,
                              check=False)
        if done.returncode:
            return None, done.stderr.decode().strip()
        return [int(w) for w in done.stdout.split()[1::2]], ""

    def run(self, bench, client):
        torrent = bench.torrent(bench.args.size * MIB, MIB)
        tracker = Seeder(bench, torrent, 0)
        proc = Proc(client.seed(torrent, os.path.dirname(torrent.data),
                                self.leeches))
        try:
            # Some check the data first, and take no peers meanwhile. This
            # is where each block is compared, and the pages become warm.
            end = time.monotonic() + 60
            why = "?"
            while True:
                got, why = self.leech(bench, torrent, 64 * MIB, True)
                if got:
                    break
                if time.monotonic() > end:
                    raise Failed("does not seed: " + why)
                time.sleep(0.2)
            before = cpu_seconds(proc.pid)
            got, why = self.leech(bench, torrent, 2 * torrent.length, False)
            if not got:
                raise Failed(why)
            cpu = cpu_seconds(proc.pid) - before
            proc.look()
        finally:
            proc.kill()
            tracker.close()
        return {"wall": got[1] / 1e9, "cpu": cpu * GIB / got[0],
                "own": proc.own, "peak": proc.peak}


# ---- disk ----

def measure(bench, words):
    done = subprocess.run([bench.tool("measure")] + [str(w) for w in words],
                          capture_output=True, timeout=PATIENCE, check=False)
    if done.returncode:
        raise Failed("ended with %d: %s" % (
            done.returncode, done.stderr.decode()[-300:].strip()))
    wall, cpu, peak = done.stdout.split()
    return {"wall": int(wall) / 1e9, "cpu": int(cpu) / 1e9,
            "peak": int(peak) / 1024}


class Disk(Case):
    columns = ("wall", "cpu", "peak")
    note = "data in the page cache; the floor has a thread for each core"

    def __init__(self, title, words):
        self.title = title
        self.words = words
        self.names = tuple(words)

    def clients(self, bench):
        return [c for c in bench.clients(("floor", "btget", "aria2"))
                if c.name in self.words]

    def run(self, bench, client):
        torrent = bench.torrent(2 * bench.args.size * MIB, MIB)
        found = measure(bench, self.words[client.name](bench, torrent))
        found["cpu"] *= GIB / torrent.length
        return found


def floor_hash(bench, t):
    return [bench.tool("floor"), "hash", *t.words(), "data=" + t.data,
            "threads=%d" % os.cpu_count()]


VERIFY = {
    "floor": floor_hash,
    "btget": lambda bench, t: [bench.args.btget, "check", "-d",
                               os.path.dirname(t.data), t.file],
    "aria2": lambda bench, t: [
        "aria2c", "--no-conf", "--hash-check-only=true", "--quiet=true",
        "--check-integrity=true", "--enable-dht=false", "--seed-time=0",
        "--dir=" + os.path.dirname(t.data), t.file],
}


class Mktorrent:
    name = "mktorrent"


class Create(Disk):
    def clients(self, bench):
        return bench.clients(("floor", "btget")) + [Mktorrent]

    def run(self, bench, client):
        with contextlib.suppress(OSError):
            os.unlink(os.path.join(bench.work, "made.torrent"))
        return super().run(bench, client)


CREATE = {
    "floor": floor_hash,
    "btget": lambda bench, t: [
        bench.args.btget, "create", "--v1", "--piece-length", "1M", "-o",
        os.path.join(bench.work, "made.torrent"), t.data],
    "mktorrent": lambda bench, t: [
        "mktorrent", "-l", "20", "-t", os.cpu_count(), "-o",
        os.path.join(bench.work, "made.torrent"), t.data],
}


# ---- starts ----

class Cold(Case):
    title = "cold start: a torrent of 1 MiB, from exec to end"
    columns = ("first", "wall")
    note = "first: from exec to the first request; both in seconds"

    def run(self, bench, client):
        torrent = bench.torrent(MIB, 65536)
        folder = bench.empty("got")
        seeder = Seeder(bench, torrent, 1, data=torrent.data)
        proc = None
        try:
            proc = Proc(client.get(torrent, folder, 1))
            wall, cpu = proc.wait(60)
            first = seeder.line("first")
            same(torrent, folder)
        finally:
            if proc:
                proc.kill()
            seeder.close()
        return {"first": (first - proc.began) / 1e9, "wall": wall,
                "cpu": cpu}


class Large(Case):
    """A torrent that is large in itself: what show and a start cost."""
    columns = ("show", "peak", "first")
    names = ("btget", "libtorrent", "aria2")
    note = ("show: seconds to print it; first: from exec to the first "
            "request; peak: MiB of show")

    def __init__(self, title, make):
        self.title = title
        self.make = make
        self.torrent = None

    def run(self, bench, client):
        if not self.torrent:
            self.torrent = self.make(bench)
        found = {}
        if client.name == "btget":
            shown = measure(bench, [bench.args.btget, "show",
                                    self.torrent.file])
            found = {"show": shown["wall"], "peak": shown["peak"]}
        folder = bench.empty("got")
        seeder = Seeder(bench, self.torrent, 1)
        proc = Proc(client.get(self.torrent, folder, 1))
        try:
            found["first"] = (seeder.line("first", 60) - proc.began) / 1e9
        finally:
            proc.kill()
            seeder.close()
            bench.forget("got")
        return found


def many_files(bench):
    files = [{"length": 1024, "path": ["d%03d" % (i // 1000),
                                       "f%06d" % i]} for i in range(200000)]
    pieces = (200000 * 1024 + 16383) // 16384
    return bench.make({"name": "files", "piece length": 16384,
                       "files": files, "pieces": os.urandom(20 * pieces)})


def many_pieces(bench):
    return bench.make({"name": "pieces", "piece length": 16384,
                       "length": 400000 * 16384,
                       "pieces": os.urandom(20 * 400000)})


# ---- idle ----

class Idle(Case):
    title = "an idle seeder, 10 s"
    columns = ("wakes", "cpu_ms", "own")
    note = ("wakes: voluntary context switches of all threads for each "
            "second; cpu_ms: milliseconds of CPU for each second")

    def clients(self, bench):
        return [c for c in bench.clients() if c.name != "floor"]

    @staticmethod
    def switches(pid):
        total = 0
        for task in os.listdir("/proc/%d/task" % pid):
            with open("/proc/%d/task/%s/status" % (pid, task),
                      encoding="utf-8") as lines:
                total += sum(int(line.split()[1]) for line in lines
                             if line.startswith("voluntary"))
        return total

    def run(self, bench, client):
        torrent = bench.torrent(MIB, 65536)
        tracker = Seeder(bench, torrent, 0)
        proc = Proc(client.seed(torrent, os.path.dirname(torrent.data), 1))
        try:
            time.sleep(5)
            before, cpu = self.switches(proc.pid), cpu_seconds(proc.pid)
            time.sleep(10)
            proc.look()
            return {"wakes": (self.switches(proc.pid) - before) / 10,
                    "cpu_ms": (cpu_seconds(proc.pid) - cpu) * 100,
                    "own": proc.own}
        finally:
            proc.kill()
            tracker.close()


FAST = ("floor", "btget", "aria2", "libtorrent", "rtorrent")
CASES = {
    "get-1m": Get("one fast seeder, pieces of 1 MiB", 1, MIB),
    "get-256k": Get("one fast seeder, pieces of 256 KiB", 1, MIB // 4, FAST),
    "get-8": Get("8 fast seeders", 8, MIB, FAST),
    "get-64": Get("64 fast seeders", 64, MIB, FAST),
    "slow-500": Get("500 seeders of 200 KiB/s", 500, MIB,
                    ("btget", "libtorrent", "aria2"), rate=200 * 1024),
    "slow-2000": Get("2,000 seeders of 50 KiB/s", 2000, MIB,
                     ("btget", "libtorrent"), rate=50 * 1024, long=True),
    "path": Get("one peer that answers after 100 ms", 1, MIB,
                ("btget", "aria2", "libtorrent", "rtorrent"), delay=100),
    "seed-1": Seed("seeding to one fast leech", 1),
    "seed-8": Seed("seeding to 8 fast leeches", 8),
    "seed-200": Seed("seeding to 200 leeches", 200, long=True),
    "verify": Disk("verifying", VERIFY),
    "create": Create("making a torrent", CREATE),
    "cold": Cold(),
    "files": Large("200,000 files", many_files),
    "pieces": Large("400,000 pieces", many_pieces),
    "idle": Idle(),
}
