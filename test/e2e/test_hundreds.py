"""Goal: hundreds of torrents in one run cost little while nothing happens, and
what is told of them is told of each."""
import os
import re
import resource
import signal
import socket
import threading
import time

import peer
import sample
import tracker
from harness import (OFFLINE, SANITIZED, Skip, free_port, read_text, test,
                     wait_for)
from swarm import MIB
from web import Web

COUNT = 300
ONLINE = [word for word in OFFLINE if word != "--no-webseed"]


def make_torrents(t, size=20000, **more):
    """Files of small ones, whose data lies in t.path("full")."""
    files = []
    for i in range(COUNT):
        name = "file%03d" % i
        path = sample.make_file(t.path("full", name), size, name)
        torrent = sample.make_torrent(path, **more)
        files.append(torrent.save(t.path("torrents", name + ".torrent")))
    return files


def wake_ups(proc):
    """Of its main thread, so far."""
    return int(re.search(r"\nvoluntary_ctxt_switches:\s*(\d+)",
                         read_text("/proc/%d/status" % proc.pid)).group(1))


def is_quiet(proc):
    before = wake_ups(proc)
    time.sleep(4)
    return wake_ups(proc) - before <= 8


@test(deadline=90, quick=True)
def test_downloads_that_nobody_has_wake_it_together(t):
    """Though they came one after the other."""
    if SANITIZED:
        raise Skip("a sanitizer has a thread that wakes ten times a second")
    files = make_torrents(t)
    inbox, log = t.folder("inbox"), t.path("btget.log")
    proc = t.btget("-q", "-d", t.path("empty"), "-p", "0", "-l", log,
                   "--watch", inbox)
    wait_for(lambda: "watching" in read_text(log), 10, "its start",
             alive=[proc])
    for file in files:
        os.rename(file, os.path.join(inbox, os.path.basename(file)))
        time.sleep(0.02)
    wait_for(lambda: read_text(log).count("started") == COUNT, 20,
             "all of them", alive=[proc])
    wait_for(lambda: is_quiet(proc), 25, "silence", alive=[proc])


def resident(proc):
    status = read_text("/proc/%d/status" % proc.pid)
    return int(re.search(r"\nVmRSS:\s*(\d+) kB", status).group(1)) * 1024


def memory_with(t, urls):
    """What it takes once all are announced to the last of these trackers."""
    good = tracker.Tracker(t, interval=1800)
    files = make_torrents(t, announce=[[url] for url in [*urls, good.url]])
    proc = t.btget("-q", "-d", t.path("full"), "-p", "0", "--seed-time", "1h",
                   *files)
    wait_for(lambda: len({a.info_hash for a in good.announces}) == COUNT, 30,
             "all of them", alive=[proc])
    taken = resident(proc)
    proc.signal(signal.SIGKILL)
    proc.wait()
    return taken


@test(deadline=90)
def test_requests_that_wait_for_silent_trackers_take_little_memory(t):
    if SANITIZED:
        raise Skip("sanitizers take memory of their own")
    silent = [socket.create_server(("127.0.0.9", 0), backlog=512)
              for _ in range(30)]
    t.at_end += [one.close for one in silent]
    more = memory_with(t, ["http://127.0.0.9:%d/announce" %
                           one.getsockname()[1] for one in silent])
    each = (more - memory_with(t, [])) / (COUNT * len(silent))
    assert each < 5000, each


@test(quick=True)
def test_the_log_tells_of_each(t):
    files = make_torrents(t)
    run = t.run_btget("-q", "-d", t.path("full"), "-l", t.path("btget.log"),
                      *files)
    assert run.err() == "", run.err()
    lines = read_text(t.path("btget.log")).splitlines()
    for i in range(COUNT):
        told = [line for line in lines if " file%03d: " % i in line]
        assert len(told) == 3, told


def few_descriptors(count=256):
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, count))


def gives_now_and_then(one, conn):
    def answer(index, begin, length):
        conn.linger(20)
        return one.block(index, begin, length)
    peer.greet(one, conn)
    peer.serve(one, conn, answer)


class Crowd:
    """Torrents at a tracker that names these peers of each."""

    def __init__(self, t):
        self.t, self.peers = t, {}
        self.tracker = tracker.Tracker(
            t, interval=60, script=lambda request, note: sample.bencode({
                "interval": 60,
                "peers": tracker.compact(self.peers[note.info_hash])}))

    def torrent(self, name, script, count, size=50000):
        """Its file."""
        path = sample.make_file(self.t.path("full", name), size, name)
        torrent = sample.make_torrent(path, self.tracker.url)
        self.peers[torrent.info_hash] = [
            peer.Peer(self.t, torrent, sample.read_content(path), script,
                      host="127.0.0.%d" % (2 + n)).where
            for n in range(count)]
        return torrent.save(self.t.path(name + ".torrent"))

    def takers(self):
        """Their peers take all places that there are and keep them."""
        return [self.torrent("taker%d" % i, gives_now_and_then, n, 4 * MIB)
                for i, n in enumerate((10, 10, 9))]


def put(inbox, files):
    for file in files:
        os.rename(file, os.path.join(inbox, os.path.basename(file)))


def all_are_taken(log, proc, count):
    wait_for(lambda: read_text(log).count("connected") >= count, 20,
             "the crowd", alive=[proc])


@test(deadline=120, quick=True)
def test_few_places_are_for_all_torrents(t):
    """Seeds that give nothing have taken all that `ulimit -n` leaves for
    connections, at those torrents which began first."""
    crowd, good = Crowd(t), 2
    inbox, log = t.folder("inbox"), t.path("btget.log")
    proc = t.btget("-d", t.path("empty"), "-p", "0", "-l", log, "-v",
                   "--watch", inbox, preexec_fn=few_descriptors)
    put(inbox, [crowd.torrent("bad%d" % i, peer.never_unchokes, 3)
                for i in range(8)])
    all_are_taken(log, proc, 17)
    put(inbox, [crowd.torrent("good%d" % i, peer.good_seed, 1)
                for i in range(good)])
    wait_for(lambda: proc.out().count(": complete") == good, 60,
             "a place for the good ones", alive=[proc])


@test(deadline=120)
def test_who_comes_to_a_torrent_without_peers_gets_a_place(t):
    """What is complete and has no tracker calls nobody."""
    crowd, folder = Crowd(t), t.folder("all")
    inbox, log = t.folder("inbox"), t.path("btget.log")
    path = sample.make_file(os.path.join(folder, "wanted"), 50000)
    torrent, port = sample.make_torrent(path), free_port()
    proc = t.btget("-d", folder, "-p", port, "-l", log, "-v", "--seed-time",
                   "1h", "--watch", inbox, preexec_fn=few_descriptors)
    torrent.save(os.path.join(inbox, "wanted.torrent"))
    wait_for(lambda: ": complete" in proc.out(), 20, "a seed", alive=[proc])
    put(inbox, crowd.takers())
    all_are_taken(log, proc, 29)

    came = []

    def comes():
        came.append(peer.Dialer(t, torrent, ("127.0.0.1", port),
                                peer.good_leech))
        came[-1].done.wait(3)
        return any(one.done.is_set() for one in came)
    wait_for(comes, 60, "a place for who comes", alive=[proc])


@test(deadline=120)
def test_a_torrent_with_a_web_seed_alone_gets_a_place(t):
    crowd, ready = Crowd(t), threading.Event()
    inbox, log = t.folder("inbox"), t.path("btget.log")
    path = sample.make_file(t.path("web", "wanted"), 50000)
    web = Web(t, t.path("web"), lambda request, *about: not ready.is_set()
              and request.plain(503) is None)
    meta = dict(sample.make_torrent(path).meta)
    meta[b"url-list"] = [web.url]
    proc = t.btget(*ONLINE, "-d", t.path("empty"), "-p", "0", "-l", log, "-v",
                   "--watch", inbox, plain=True, preexec_fn=few_descriptors)
    put(inbox, [sample.Torrent(sample.bencode(meta)).save(
        t.path("wanted.torrent"))])
    wait_for(lambda: web.requests, 20, "a first try", alive=[proc])
    put(inbox, crowd.takers())
    all_are_taken(log, proc, 29)
    ready.set()
    wait_for(lambda: "wanted: complete" in proc.out(), 60,
             "a place for the web seed", alive=[proc])


@test(deadline=120)
def test_connections_to_web_seeds_make_room_too(t):
    """Two torrents whose servers are slow have taken all places."""
    def slow(request, *about):
        return webs[0].ending.wait(1 if any(len(web.open) < 4
                                            for web in webs) else 15)
    crowd, files, webs = Crowd(t), [], []
    inbox = t.folder("inbox")
    for i in range(2):
        folder = t.path("web%d" % i)
        path = sample.make_file(os.path.join(folder, "slow%d" % i), 64 * MIB)
        meta = dict(sample.make_torrent(path).meta)
        webs.append(Web(t, folder, slow))
        meta[b"url-list"] = [webs[i].url]
        files.append(sample.Torrent(sample.bencode(meta)).save(
            t.path("slow%d.torrent" % i)))
    proc = t.btget(*ONLINE, "-d", t.path("empty"), "-p", "0",
                   "--watch", inbox, plain=True,
                   preexec_fn=lambda: few_descriptors(100))
    put(inbox, files)
    wait_for(lambda: sum(len(web.open) for web in webs) >= 8, 60,
             "the places taken", alive=[proc])
    put(inbox, [crowd.torrent("good", peer.good_seed, 1)])
    wait_for(lambda: "good: complete" in proc.out(), 60,
             "a place for the good one", alive=[proc])
