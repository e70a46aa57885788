"""Goal: whatever call to the system or for memory fails, is cut short or is
interrupted, at whatever moment, btget neither crashes nor hangs nor calls
wrong data complete, and the same command, once the fault is gone, completes
the same bytes.

test/support/faults.c, preloaded, makes the n-th call fail. A test walks n
over a whole small download. Each run takes a fraction of a second, but they
are many: a sample of n is tried, the same one each time; FAULTS=all in the
environment tries them all.
"""
import concurrent.futures
import os
import random
import shutil
import socket
import time

import peer
import sample
from harness import note, test
from preload import Counted, library
from swarm import Scene

EVERY = os.environ.get("FAULTS") == "all"
SAMPLE = 5
DEADLINE_S = 3
# What each call may fail with, and whether it goes on failing: a full disk
# stays full, an interrupted call is interrupted once.
DISK = ("EIO:once", "ENOSPC:on")
WAYS = {
    "open": ("EACCES:once", "EMFILE:on", "EINTR:once"),
    "write": DISK + ("short:once", "short:each", "EINTR:once"),
    "pwrite": DISK + ("short:once", "short:each", "EINTR:once", "EDQUOT:on",
                      "EROFS:on"),
    "pread": ("EIO:once", "EIO:on", "short:once", "short:each",
              "EINTR:once"),
    "read": ("EIO:once", "short:once", "EINTR:once"),
    "sync": ("EIO:once", "ENOSPC:on", "EINTR:once"),
    "rename": ("EACCES:once", "ENOSPC:on"),
    "truncate": DISK + ("EINTR:once",),
    "allocate": DISK + ("EOPNOTSUPP:on", "EINTR:once"),
    "malloc": ("ENOMEM:once", "ENOMEM:on"),
    "malloc+": ("ENOMEM:once",),
    "large": ("ENOMEM:once",),
    "thread": ("EAGAIN:once", "EAGAIN:on"),
    "socket": ("EMFILE:once", "ENFILE:on"),
    "accept": ("ECONNABORTED:once", "EMFILE:on"),
    "connect": ("ENOBUFS:once", "EINTR:once"),
    "recv": ("ECONNRESET:once", "short:each", "EINTR:each", "EINTR:once"),
    "send": ("EPIPE:once", "short:each", "EINTR:each", "ENOBUFS:once"),
    "sendfile": ("EIO:once", "short:each", "EINTR:each", "EINVAL:on"),
    "mkdir": ("EACCES:once", "ENOSPC:on"),
    "unlink": ("EACCES:once",),
    "stat": ("EIO:once", "EACCES:on"),
}
CRASH = range(132, 160)


class Walk:
    """Runs of one command, each with one fault. begin(folder) prepares a
    target folder as every run finds it."""

    def __init__(self, t, scene, *args, begin=None):
        self.t = t
        self.scene = scene
        self.args = args
        self.begin = begin or (lambda folder: None)
        self.library = library(t)
        self.runs = 0
        self.codes = {}
        self.wrong = []

    def run(self, folder, env, *args):
        self.runs += 1
        return self.t.btget("-q", "-d", folder, "-p", "0", *self.args, *args,
                            self.scene.file, env=dict(self.t.env, **env),
                            name="btget-%s-%d" % (os.path.basename(folder),
                                                  self.runs))

    def counts(self):
        """How often each call is made by a run in which none fails."""
        folder = self.t.path("counted")
        self.begin(folder)
        counted = Counted(self.t)
        self.run(folder, counted.env).expect(0, 30)
        return counted.counts()

    def judge(self, plan, folder, proc):
        """What is wrong with how a run with a fault ended, or None."""
        result = os.path.join(folder, self.scene.torrent.name)
        if proc.code in CRASH:
            return "crashed with %d: %s" % (proc.code, proc.err())
        lines = proc.err().splitlines()
        if proc.code and not plan.startswith("write") and (
                not lines or not all(n.startswith("btget: ")
                                     for n in lines)):
            return "ended with %d and said %r" % (proc.code, lines)
        if proc.code == 0 or os.path.lexists(result):
            if not self.same(result):
                return "ended with %d and wrong data" % proc.code
        return None

    def same(self, result):
        try:
            sample.assert_same(self.scene.path, result)
        except (AssertionError, OSError) as why:
            note("%s" % why)
            return False
        return True

    def try_one(self, number, plan):
        folder = self.t.path("run%d" % number)
        self.begin(folder)
        wrong = None
        proc = self.run(folder, {"LD_PRELOAD": self.library, "FAULT": plan},
                        "--deadline", "%ds" % DEADLINE_S)
        try:
            proc.wait(DEADLINE_S + 12)
            wrong = self.judge(plan, folder, proc)
            self.codes[proc.code] = self.codes.get(proc.code, 0) + 1
            again = self.run(folder, {})
            again.wait(30)
            if not wrong and (again.code or not self.same(os.path.join(
                    folder, self.scene.torrent.name))):
                wrong = "the next run ended with %s: %s (before: %d, %s)" % (
                    again.code, again.err(), proc.code, proc.err())
        except AssertionError as why:
            wrong = "%s" % why
        if wrong:
            self.wrong.append("%s: %s" % (plan, wrong))
            return
        self.t.procs.remove(proc)
        self.t.procs.remove(again)
        shutil.rmtree(folder, ignore_errors=True)

    def plans(self, words):
        counts = self.counts()
        chance = random.Random("faults")
        plans = []
        for word in words:
            numbers = range(1, counts[word] + 1)
            for way in WAYS[word]:
                chosen = numbers
                if way.endswith(":each"):
                    chosen = (1, 2, 3)
                    if way.startswith("EINTR"):
                        chosen = (2, 3)
                elif not EVERY and len(numbers) > SAMPLE and word != "large":
                    chosen = sorted(chance.sample(numbers, SAMPLE))
                elif word.endswith("+") and len(numbers) > 1000:
                    chosen = sorted(chance.sample(numbers, 1000))
                plans += ["%s:%d:%s" % (word, n, way) for n in chosen]
        return plans

    def go(self, *words):
        plans = self.plans(words)
        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            list(pool.map(self.try_one, range(len(plans)), plans))
        note("%d faults, exit codes %s" % (len(plans), sorted(
            self.codes.items())))
        assert not self.wrong, "%d of %d:\n%s" % (
            len(self.wrong), len(plans), "\n".join(self.wrong))


def scene_of(t, size=300077, **more):
    """Several seeds: one connection that fails does not take long then."""
    scene = Scene(t, size, piece_length=32768, **more)
    for number in range(2, 6):
        scene.seed(host="127.0.0.%d" % number)
    return scene


def walk(*words, quick=False, args=(), **more):
    @test(deadline=3600 if EVERY else 200, needs="cc", quick=quick)
    def run(t):
        Walk(t, scene_of(t, **more), *args).go(*words)
    return run


test_files = walk("open", "mkdir", "unlink", "stat", "rename", "truncate")
test_writing = walk("write", "pwrite", "sync", quick=True)
test_memory = walk("malloc")
# OpenSSL 3.0 itself crashes when memory fails it while it loads RC4.
test_memory_of_libraries = walk("malloc+", args=("--encryption", "off"))
test_threads_and_sockets = walk("thread", "socket", "connect")
test_receiving_and_sending = walk("recv", "send", "read")
test_many_files = walk("open", "pwrite", "sync", "rename", "mkdir",
                       files=sample.ODD_TREE[:6])


@test(deadline=3600 if EVERY else 200, needs="cc")
def test_space_reserved_first(t):
    Walk(t, scene_of(t), "--allocation", "full").go("allocate", "truncate")


class Online(Walk):
    """With all that a run has by itself: uTP, the DHT and the others, of a
    network that nobody else is in."""

    def run(self, folder, env, *args):
        self.runs += 1
        return self.t.btget("-q", "-d", folder, "-p", "0", "--dht-node",
                            "127.0.0.1:9", *args, self.scene.file,
                            env=dict(self.t.env, **env), plain=True,
                            name="btget-%s-%d" % (os.path.basename(folder),
                                                  self.runs))


@test(deadline=3600 if EVERY else 200, needs=("cc", "namespaces"))
def test_all_that_is_online(t):
    Online(t, scene_of(t)).go("large", "malloc", "thread", "socket")


class Hiding(Walk):
    """Nothing but whole files gets its final name."""

    def same(self, result):
        names = sample.list_tree(result)
        return "a" in names and all(
            sample.difference(os.path.join(self.scene.path, name),
                              os.path.join(result, name)) is None
            for name in names)


HIDING = ("rename", "mkdir", "unlink", "stat", "sync")


def begun(t):
    """Two files are in the middle of it."""
    scene = scene_of(t, files=[("a", 100000), ("b/c", 200000),
                               ("b/d", 200000), ("e", 1000)])
    seeds = list(scene.tracker.static)
    slow = scene.seed_of(13, host="127.0.0.8")
    scene.tracker.static = [slow.where]
    proc = scene.start("-f", "2,3")
    scene.wait_requests(slow, 14, proc)
    proc.signal(15)
    proc.expect(143)
    scene.tracker.static = seeds
    return scene


@test(deadline=3600 if EVERY else 200, needs="cc")
def test_files_are_hidden(t):
    scene = begun(t)
    Hiding(t, scene, "-f", "1", begin=lambda folder: shutil.copytree(
        scene.target, folder)).go(*HIDING)


@test(deadline=3600 if EVERY else 200, needs="cc")
def test_hidden_files_come_home(t):
    """And others take their share of the side file."""
    scene = begun(t)
    scene.download("-f", "1")
    assert sample.list_tree(scene.result) == ["a"]
    os.rename(scene.result, scene.part)
    Walk(t, scene, begin=lambda folder: shutil.copytree(
        scene.target, folder)).go(*HIDING, "open", "read", "pread", "pwrite")


@test(deadline=3600 if EVERY else 200, needs="cc")
def test_resuming(t):
    """State and data of an interrupted run are read; the data has changed
    since, so that it is verified as well."""
    scene = scene_of(t)
    half = scene.seed_of(12, host="127.0.0.8")
    keep = scene.tracker.static
    scene.tracker.static = [half.where]
    proc = scene.start()
    scene.wait_requests(half, 13, proc)
    proc.signal(15)
    proc.expect(143)
    scene.tracker.static = keep[:-1]

    def begin(folder):
        shutil.copytree(scene.target, folder)
        part = os.path.join(folder, scene.torrent.name + ".part")
        os.utime(part, (1, 1))
    Walk(t, scene, begin=begin).go("open", "read", "pread", "malloc", "stat",
                                   "thread")


@test(deadline=3600 if EVERY else 200, needs="cc")
def test_seeding(t):
    """What a leech gets is right, or it gets nothing: good_leech looks at
    every hash."""
    scene = Scene(t, 300077, piece_length=32768)
    preload = library(t)
    plans = ["%s:%d:%s" % (word, n, way)
             for word in ("sendfile", "pread", "send", "recv", "accept",
                          "malloc", "open")
             for way in WAYS[word] for n in ((1, 2, 4) if not EVERY
                                             else range(1, 25))
             if n > 1 or not way.startswith("EINTR:each")]
    if not EVERY:
        plans = random.Random("faults").sample(plans, 24)
    for number, plan in enumerate(plans):
        folder = t.path("run%d" % number)
        shutil.copytree(scene.source, folder)
        proc = t.btget("-q", "-d", folder, "-p", "0", "--seed-time", "1h",
                       "--deadline", "5s", scene.file,
                       env=dict(t.env, LD_PRELOAD=preload, FAULT=plan))
        seen = len(scene.tracker.of(scene.torrent))
        leech = None
        while proc.running():
            notes = scene.tracker.of(scene.torrent)[seen:]
            if notes and not leech and notes[0].port:
                leech = peer.Dialer(t, scene.torrent, (
                    "127.0.0.1", notes[0].port), peer.good_leech,
                    host="127.0.0.3")
            if leech and (leech.done.is_set() or leech.ends):
                proc.signal(15)
            try:
                proc.wait(0.2)
            except AssertionError:
                assert proc.started + 30 > time.monotonic(), \
                    "%s: it hangs" % plan
        assert proc.code not in CRASH or proc.code == 143, "%s: %d %s" % (
            plan, proc.code, proc.err())
        if leech:
            leech.stop()
        assert sample.read_tree(os.path.join(
            folder, scene.torrent.name)) == {"": scene.content}, plan
        shutil.rmtree(folder)


@test(deadline=60, needs="cc", quick=True)
def test_peers_are_left_alone_while_no_thread_begins(t):
    """A peer that could not be let in is dialled a few times, not for ever,
    and the reason is told."""
    scene = Scene(t, 300077, piece_length=32768)
    listener = socket.create_server(("127.0.0.2", 0), backlog=64)
    listener.settimeout(0)
    # The display, the disk and the listener have theirs; none comes after.
    env = dict(t.env, LD_PRELOAD=library(t), FAULT="thread:4:EAGAIN:on")
    proc = scene.start("--no-dht", "--no-lsd", "--no-utp", "--no-portmap",
                       "-P", "127.0.0.2:%d" % listener.getsockname()[1],
                       "--stall-timeout", "8s", env=env)
    proc.expect(5, 30)
    accepted = 0
    try:
        while accepted < 64:
            listener.accept()[0].close()
            accepted += 1
    except BlockingIOError:
        pass
    assert 1 <= accepted <= 3, accepted
    assert proc.err().count("cannot start thread 'peer'") == 1, proc.err()
