"""Goal: hundreds of torrents in one run cost little while nothing happens, and
what is told of them is told of each."""
import os
import re
import resource
import signal
import socket
import time

import peer
import sample
import tracker
from harness import SANITIZED, Skip, read_text, test, wait_for

COUNT = 300


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


@test(deadline=120, quick=True)
def test_few_places_are_for_all_torrents(t):
    """Seeds that give nothing have taken all that `ulimit -n` leaves for
    connections, at those torrents which began first."""
    bad, good = 8, 2
    peers, files = {}, []
    crowd = tracker.Tracker(t, interval=60, script=lambda request, note:
                            sample.bencode({"interval": 60,
                                            "peers": tracker.compact(
                                                peers[note.info_hash])}))
    for i in range(bad + good):
        name = "file%d" % i
        path = sample.make_file(t.path("full", name), 50000, name)
        torrent = sample.make_torrent(path, crowd.url)
        files.append(torrent.save(t.path(name + ".torrent")))
        script, count = (peer.never_unchokes, 3) if i < bad else \
            (peer.good_seed, 1)
        peers[torrent.info_hash] = [
            peer.Peer(t, torrent, sample.read_content(path), script,
                      host="127.0.0.%d" % (2 + n)).where
            for n in range(count)]
    inbox, log = t.folder("inbox"), t.path("btget.log")
    proc = t.btget("-d", t.path("empty"), "-p", "0", "-l", log, "-v",
                   "--watch", inbox, preexec_fn=lambda: resource.setrlimit(
                       resource.RLIMIT_NOFILE, (256, 256)))

    def put(some):
        for file in some:
            os.rename(file, os.path.join(inbox, os.path.basename(file)))

    put(files[:bad])
    wait_for(lambda: read_text(log).count("connected") >= 17, 20,
             "the crowd", alive=[proc])
    put(files[bad:])
    wait_for(lambda: proc.out().count(": complete") == good, 60,
             "a place for the good ones", alive=[proc])
