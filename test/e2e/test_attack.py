"""Goal: many who mean ill at the same time cost btget little memory, no
disk, no endless log, and keep no honest peer out. The single hostile
messages are in test_hostile_peers.py; here they come in floods and crowds,
and what they may cost is a figure."""
import os
import re
import resource
import signal
import socket
import struct
import subprocess
import time

import peer
import sample
import tracker
from harness import (OFFLINE, SANITIZED, SLOW, free_port, note,
                     read_text, test, wait_for)
from swarm import MIB, Scene

# What a run may have resident with nobody but honest peers, and what each
# further connection may add to it.
BASE_KIB = 24 << 10
EACH_KIB = 256
FLOOD_S = 4


def held(proc, connections, what):
    """Memory stays below the bound for this many connections."""
    peak, most = proc.peak(), BASE_KIB + connections * EACH_KIB
    note("%s: peak %d KiB (%d allowed)" % (what, peak, most))
    assert peak > 0, "it was not looked at"
    assert SANITIZED or peak < most, "%d KiB resident" % peak
    return peak


def until(seconds):
    end = time.monotonic() + seconds
    return lambda: time.monotonic() < end


# ---- floods

def flood(make, reading=False, **how):
    """A script: handshake, interest, and the same again and again for some
    seconds."""
    def script(one, conn):
        conn.handshake(**how)
        conn.send(peer.INTERESTED)
        data = make(one)
        going = until(FLOOD_S)
        try:
            while going():
                conn.write(data)
                one.sent += len(data)
                one.acted.set()
                if reading:
                    conn.sock.settimeout(0.001)
                    try:
                        conn.sock.recv(1 << 20)
                    except TimeoutError:
                        pass
                    finally:
                        conn.sock.settimeout(0.1)
        finally:
            one.acted.set()
        conn.linger(2)
    return script


REQUESTS = struct.pack(">IBIII", 13, peer.REQUEST, 0, 0, 16384) * 2000
EXTENDED_HANDSHAKE = sample.bencode({
    "m": {"ut_pex": 1, "ut_metadata": 2, "x" * 200: 3}, "reqq": 2000,
    "v": "y" * 200, "metadata_size": 5000})
OUR_PEX = 3
PEX = sample.bencode({"added": b"".join(
    b"\x0a\x63" + struct.pack(">HH", n, 1 + n) for n in range(50)),
    "added.f": bytes(50), "dropped": b""})
FLOODS = {
    "requests without reading": flood(lambda one: REQUESTS),
    "requests with little reading": flood(lambda one: REQUESTS, True),
    "keepalives": flood(lambda one: bytes(65536)),
    "haves": flood(lambda one: b"".join(
        peer.message(peer.HAVE, struct.pack(">I", n % 8))
        for n in range(5000))),
    "extension handshakes": flood(lambda one: peer.extended(
        0, EXTENDED_HANDSHAKE) * 100, reserved=peer.EXTENSIONS),
    "peers by exchange": flood(lambda one: peer.extended(
        0, EXTENDED_HANDSHAKE) + peer.extended(OUR_PEX, PEX) * 100,
        reserved=peer.EXTENSIONS),
    "requests for metadata": flood(lambda one: peer.extended(
        0, EXTENDED_HANDSHAKE) + b"".join(peer.extended(
            2, sample.bencode({"msg_type": 0, "piece": n % 3}))
            for n in range(500)), reserved=peer.EXTENSIONS),
    "unknown extensions": flood(lambda one: peer.extended(
        99, b"z" * 1000) * 100, reserved=peer.EXTENSIONS),
    "interest and cancels": flood(lambda one: (
        peer.message(peer.NOT_INTERESTED) + peer.message(peer.INTERESTED) +
        peer.message(peer.CANCEL, struct.pack(">III", 0, 0, 16384))) * 1000),
}


def flooded(name):
    """Ten at a time; an honest leech beside them gets all there is."""
    @test(deadline=90, quick=name == "requests without reading")
    def run(t):
        scene = Scene(t, 2 * MIB)
        online = [one for one in OFFLINE if one != "--no-pex"]
        seed = t.seed(scene.file, scene.source, *online, "-v", "-v", "-l",
                      t.path("log.txt"), plain=True)
        where = ("127.0.0.1", seed.port)
        crowd = [peer.Dialer(t, scene.torrent, where, FLOODS[name],
                             host="127.0.0.%d" % n) for n in range(20, 30)]
        for one in crowd:
            assert one.acted.wait(20 * SLOW), one.ends
        good = peer.Dialer(t, scene.torrent, where, peer.good_leech,
                           host="127.0.0.3")
        assert good.done.wait(60 * SLOW), good.ends
        wait_for(lambda: time.monotonic() - seed.started > FLOOD_S, 20)
        held(seed, 11, "%s, %d MiB of them" % (
            name, sum(one.sent for one in crowd) >> 20))
        assert seed.running()
        lines = len(read_text(t.path("log.txt")).splitlines())
        seconds = time.monotonic() - seed.started
        assert lines < 350 * (seconds + 2) * 2, "%d lines" % lines
    return run


for NAME in FLOODS:
    globals()["test_a_flood_of_" + NAME.replace(" ", "_")] = flooded(NAME)


# ---- crowds

@test(deadline=120, quick=True)
def test_500_silent_connections_do_not_keep_a_good_peer_out(t):
    scene = Scene(t, MIB)
    seed = t.seed(scene.file, scene.source)
    where = ("127.0.0.1", seed.port)
    crowd = [peer.Dialer(t, scene.torrent, where, peer.instead(b""),
                         host="127.0.%d.%d" % (1 + n % 2, 1 + n % 250))
             for n in range(500)]
    wait_for(lambda: sum(one.connections for one in crowd) >= 490, 30,
             "500 connections")
    started = time.monotonic()
    good = peer.Dialer(t, scene.torrent, where, peer.good_leech,
                       host="127.0.0.3")
    assert good.done.wait(30 * SLOW), good.ends
    took = time.monotonic() - started
    assert SANITIZED or took < 3 * SLOW, "it took %.1f s" % took
    held(seed, 20, "500 silent connections")


@test(deadline=120, quick=True)
def test_a_silent_crowd_leaves_descriptors_for_the_files(t):
    """It may fill its own share of a small limit, and no other one."""
    scene = Scene(t, files=[("f%02d" % i, 40000) for i in range(40)])
    seed = scene.seed_of(3)
    port = free_port()
    run = scene.start("-p", port, preexec_fn=lambda: resource.setrlimit(
        resource.RLIMIT_NOFILE, (256, 256)))
    scene.wait_requests(seed, 4, run)
    crowd = [peer.Dialer(t, scene.torrent, ("127.0.0.1", port),
                         peer.instead(b""), host="127.0.1.%d" % (1 + n % 250))
             for n in range(300)]
    wait_for(lambda: sum(one.connections for one in crowd) >= 250, 30,
             "250 connections")
    assert run.running()
    seed.go.set()
    run.expect(0)
    scene.check()


def idle(one, conn):
    """Says who it is, and then nothing."""
    conn.handshake()
    one.acted.set()
    conn.wait_end()


@test(deadline=120, quick=True)
def test_idle_handshakes_do_not_hold_all_places(t):
    """They are on every place there is when somebody comes who is in
    earnest."""
    scene = Scene(t, MIB)
    seed = t.seed(scene.file, scene.source, "--max-peers", "20")
    where = ("127.0.0.1", seed.port)
    crowd = [peer.Dialer(t, scene.torrent, where, idle,
                         host="127.0.1.%d" % n) for n in range(1, 61)]
    wait_for(lambda: sum(one.acted.is_set() or bool(one.ends)
                         for one in crowd) == 60, 30, "the crowd")
    end = time.monotonic() + (90 if SANITIZED else 25)
    good = None
    while time.monotonic() < end:
        good = peer.Dialer(t, scene.torrent, where, peer.good_leech,
                           host="127.0.0.3")
        while not good.ends and not good.done.wait(0.1):
            pass
        if good.done.is_set():
            break
        time.sleep(1)
    assert good.done.is_set(), good.ends
    held(seed, 40, "60 idle handshakes")


def crowd_before_a_seed(t, script, count, seconds):
    """All places of a download are taken when its only seed is found."""
    scene = Scene(t, MIB)
    crowd = [scene.seed(script, host="127.0.1.%d" % n)
             for n in range(1, count + 1)]
    leech = scene.start("--max-peers", "10")
    wait_for(lambda: sum(one.acted.is_set() for one in crowd) >= 10, 30,
             "the crowd", alive=[leech])
    scene.seed(host="127.0.0.3")
    leech.expect(0, seconds)
    scene.check()


@test(deadline=150, quick=True)
def test_idle_handshakes_do_not_keep_a_seed_out(t):
    """Of 30, on 10 places: they may stay for 5 s each."""
    crowd_before_a_seed(t, idle, 30, 90)


@test(deadline=180)
def test_seeds_that_never_unchoke_do_not_keep_another_out(t):
    """They have all that we want, for which they may stay for 35 s."""
    def full(one, conn):
        conn.handshake()
        conn.bitfield()
        one.acted.set()
        conn.wait_end()
    crowd_before_a_seed(t, full, 10, 100)


@test(deadline=120)
def test_who_gives_keeps_the_place(t):
    """A slow seed is not given up for those who wait."""
    scene = Scene(t, MIB)
    slow = scene.slow_seed(0.25)
    leech = scene.start("--max-peers", "1")
    scene.wait_requests(slow, 1, leech)
    crowd = [scene.seed(idle, host="127.0.1.%d" % n) for n in range(1, 6)]
    leech.expect(0, 90)
    assert slow.connections == 1
    assert not any(one.acted.is_set() for one in crowd)


@test(deadline=120)
def test_one_address_does_not_hold_all_places(t):
    """Its connections are on all of them, and each gives something now and
    then, which is more than the idle do."""
    scene = Scene(t, 8 * MIB)
    port = free_port()
    leech = scene.start("--max-peers", "10", "-p", port)
    wait_for(lambda: scene.tracker.of(scene.torrent), 10,
             "announce of the leech", alive=[leech])

    def drips(one, conn):
        def answer(index, begin, length):
            one.acted.set()
            conn.linger(2)
            return one.block(index, begin, length)
        peer.greet(one, conn)
        peer.serve(one, conn, answer)

    crowd = [peer.Dialer(t, scene.torrent, ("127.0.0.1", port), drips,
                         host="127.0.1.1", content=scene.content)
             for _ in range(10)]
    wait_for(lambda: all(one.acted.is_set() for one in crowd), 30,
             "the crowd", alive=[leech])
    peer.Dialer(t, scene.torrent, ("127.0.0.1", port), peer.good_seed,
                host="127.0.0.3", content=scene.content)
    leech.expect(0, 60)
    scene.check()


@test(deadline=240)
def test_drips_do_not_hold_all_places(t):
    """Not even where there are three, for each of which a minute has to pass
    first."""
    scene = Scene(t, MIB)

    def drips(one, conn):
        def answer(index, begin, length):
            one.acted.set()
            conn.linger(20)
            return one.block(index, begin, length)
        peer.greet(one, conn)
        peer.serve(one, conn, answer)
    crowd = [scene.seed(drips, host="127.0.1.%d" % n) for n in range(1, 4)]
    leech = scene.start("--max-peers", "3")
    wait_for(lambda: all(one.acted.is_set() for one in crowd), 30,
             "the crowd", alive=[leech])
    scene.seed(host="127.0.0.3")
    leech.expect(0, 200)
    scene.check()


def a_thief_of_an_id(t, first):
    """One at another address says that it is the seed, before the seed comes
    or while it gives."""
    seed_id = b"-TT0001-0123456789ab"
    scene = Scene(t, MIB)
    port = free_port()
    leech = scene.start("-p", port)
    wait_for(lambda: scene.tracker.of(scene.torrent), 10,
             "announce of the leech", alive=[leech])
    where = ("127.0.0.1", port)
    given = []

    def gives(one, conn):
        def answer(index, begin, length):
            given.append(index)
            conn.linger(0.1)
            return one.block(index, begin, length)
        peer.greet(one, conn)
        peer.serve(one, conn, answer)

    def thief():
        return peer.Dialer(t, scene.torrent, where, idle, host="127.0.0.9",
                           peer_id=seed_id)

    if first:
        one = thief()
        wait_for(one.acted.is_set, 10, "the thief", alive=[leech])
    seed = peer.Dialer(t, scene.torrent, where, gives, host="127.0.0.3",
                       peer_id=seed_id, content=scene.content)
    if not first:
        wait_for(lambda: given, 10, "the seed", alive=[leech])
        thief()
    leech.expect(0, 60)
    scene.check()
    wait_for(lambda: seed.sent >= MIB, 10, "all of it to be the seed's")


@test()
def test_a_copied_peer_id_keeps_nobody_out(t):
    a_thief_of_an_id(t, first=True)


@test()
def test_a_copied_peer_id_ends_nobody(t):
    a_thief_of_an_id(t, first=False)


def wants_and_takes_nothing(one, conn):
    """Has a slot, and asks for nothing in it."""
    conn.handshake()
    conn.send(peer.INTERESTED)
    one.acted.set()
    conn.wait_end()


@test(deadline=120)
def test_16_idle_leeches_do_not_hold_all_slots(t):
    """They have every slot there is when somebody comes who wants data:
    seconds later one of them is his."""
    scene = Scene(t, MIB)
    seed = t.seed(scene.file, scene.source)
    where = ("127.0.0.1", seed.port)
    crowd = [peer.Dialer(t, scene.torrent, where, wants_and_takes_nothing,
                         host="127.0.1.%d" % n) for n in range(1, 17)]
    for one in crowd:
        assert one.acted.wait(20 * SLOW), one.ends
    began = time.monotonic()
    good = peer.Dialer(t, scene.torrent, where, peer.good_leech,
                       host="127.0.0.3")
    assert good.done.wait(60 * SLOW), good.ends
    note("a slot after %.1f s" % (time.monotonic() - began))


def wants_and_hardly_reads(one, conn):
    """Some 2 kB a second of what it asked for."""
    conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    conn.handshake()
    conn.send(peer.HAVE_NONE)
    conn.send(peer.INTERESTED)
    conn.write(b"".join(
        peer.message(peer.REQUEST, struct.pack(
            ">III", i % one.torrent.piece_count, 0, peer.BLOCK))
        for i in range(50)))
    one.acted.set()
    while True:
        conn.linger(0.5)
        try:
            if not conn.sock.recv(1000):
                return
        except TimeoutError:
            pass


@test(deadline=120)
def test_slow_readers_do_not_hold_all_slots(t):
    """By their turns of a minute another one would wait for five."""
    scene = Scene(t, 4 * MIB, piece_length=65536)
    seed = t.seed(scene.file, scene.source)
    where = ("127.0.0.1", seed.port)
    crowd = [peer.Dialer(t, scene.torrent, where, wants_and_hardly_reads,
                         host="127.0.1.1") for _ in range(90)]
    wait_for(lambda: all(one.acted.is_set() for one in crowd), 30,
             "the crowd", alive=[seed])
    time.sleep(1)
    good = peer.Dialer(t, scene.torrent, where, peer.good_leech,
                       host="127.0.0.3")
    assert good.done.wait(45 * SLOW), good.ends
    assert sum(not one.ends for one in crowd) > 80


@test(deadline=120)
def test_slow_handshakes_do_not_keep_a_good_peer_out(t):
    """A byte a second each, encrypted tries or plain."""
    scene = Scene(t, MIB)
    seed = t.seed(scene.file, scene.source, "--max-peers", "10")
    where = ("127.0.0.1", seed.port)

    def slow(one, conn):
        data = peer.PROTOCOL if one.peer_id[-1] % 2 else os.urandom(600)
        for at in range(len(data)):
            conn.write(data[at:at + 1])
            one.acted.set()
            conn.linger(1)
    for n in range(1, 101):
        peer.Dialer(t, scene.torrent, where, slow, host="127.0.1.%d" % n)
    time.sleep(2)
    started = time.monotonic()
    good = peer.Dialer(t, scene.torrent, where, peer.good_leech,
                       host="127.0.0.3")
    assert good.done.wait(60 * SLOW), good.ends
    took = time.monotonic() - started
    assert SANITIZED or took < 5, "it took %.1f s" % took
    held(seed, 110, "100 slow handshakes")


def empty_network():
    """Addresses that swallow whatever is sent to them."""
    for words in ("link add hole type veth peer name deep",
                  "link set hole arp off", "addr add 10.99.0.1/16 dev hole",
                  "link set hole up", "link set deep up"):
        subprocess.run(["ip", *words.split()], check=True,
                       stdin=subprocess.DEVNULL)


def unreachable(places):
    """300 addresses that come first; the good one is named last. Compared
    with a run that has the good one alone."""
    times = []
    for t, static in places:
        scene = Scene(t, MIB)
        scene.tracker.static += static
        scene.seed(host="127.0.0.3")
        started = time.monotonic()
        scene.download(seconds=60)
        times.append(time.monotonic() - started)
        scene.check()
    note("alone %.2f s, with 300 others %.2f s" % tuple(times))
    assert SANITIZED or times[1] < times[0] + 5, times


@test(deadline=120)
def test_300_addresses_that_refuse_delay_nobody(t):
    port = free_port()
    unreachable([(t, []), (t, [("127.0.%d.%d" % (1 + n // 200, 1 + n % 200),
                                port) for n in range(300)])])


@test(deadline=120, needs="namespaces", quick=True)
def test_300_addresses_that_swallow_all_delay_nobody(t):
    empty_network()
    unreachable([(t, []), (t, [("10.99.%d.%d" % (n // 200, 2 + n % 200),
                                6881) for n in range(300)])])


@test(deadline=120, needs="namespaces", quick=True)
def test_each_of_many_torrents_dials_though_all_have_dead_peers(t):
    """The queue of dials is one for all, and full: each has its part of it
    before any has had many."""
    empty_network()
    crowd = tracker.Tracker(t, static=[
        ("10.99.%d.%d" % (n // 200, 2 + n % 200), 6881) for n in range(600)])
    files = []
    for n in range(12):
        name = "file%02d" % n
        torrent = sample.make_torrent(
            sample.make_file(t.path("full", name), 20000, name), crowd.url)
        files.append(torrent.save(t.path("torrents", name + ".torrent")))
    log = t.path("btget.log")
    proc = t.btget("-q", "-vv", "-d", t.path("empty"), "-p", "0", "-l", log,
                   *files)

    def dials():
        return re.findall(r"(file\d\d): cannot connect to", read_text(log))
    wait_for(lambda: len(set(dials())) == len(files), 60, "all of them",
             alive=[proc])
    proc.signal(signal.SIGTERM)
    proc.expect(143)
    told = dials()
    last = max(told.index("file%02d" % n) for n in range(len(files)))
    note("the last one's first dial came to nothing after %d" % last)
    assert last < 600, last


# ---- the end of a download

@test(deadline=120)
def test_20_slow_peers_do_not_hold_the_end(t):
    scene = Scene(t, 2 * MIB)
    slow = [scene.seed(peer.byte_by_byte, host="127.0.0.%d" % n)
            for n in range(20, 40)]
    scene.seed(host="127.0.0.3", hold=slow[0].acted)
    proc = scene.start()
    proc.expect(0, 60)
    scene.check()
    took = time.monotonic() - proc.started
    note("%.1f s" % took)
    assert SANITIZED or took < 30, took
    held(proc, 25, "20 slow peers")


# ---- poison

@test(deadline=120)
def test_a_poisoner_costs_a_few_pieces(t):
    scene = Scene(t, 8 * MIB)
    bad = scene.seed(peer.bad_data(lambda i, b, n: True), host="127.0.0.2")
    good = [scene.slow_seed(0.01, host="127.0.0.%d" % n)
            for n in range(3, 7)]
    scene.download(seconds=90)
    scene.check()
    assert bad.acted.is_set(), "it was not met"
    total = bad.sent + sum(one.sent for one in good)
    excess = total - scene.torrent.length
    note("the poisoner sent %d bytes; %d more than needed were sent in all"
         % (bad.sent, excess))
    assert excess < 16 * scene.torrent.piece_length, excess
    assert bad.connections <= 3, bad.connections


@test(deadline=90)
def test_a_crowd_of_poisoners_never_completes(t):
    """Nor does it take more of the disk than the torrent has."""
    scene = Scene(t, 2 * MIB)
    crowd = [scene.seed(peer.bad_data(lambda i, b, n: True),
                        host="127.0.0.%d" % n) for n in range(2, 22)]
    proc = scene.start("--stall-timeout", "6s")
    code = proc.wait(60)
    assert code == 6, (code, proc.err())
    assert any(one.acted.is_set() for one in crowd)
    assert not os.path.exists(scene.result)
    held(proc, 25, "20 poisoners")
    used = int(subprocess.run(["du", "-sB1", scene.target],
                              capture_output=True).stdout.split()[0])
    assert used < scene.torrent.length + 65536, used
    # Their word is worth nothing to the next run either.
    again = scene.download("--deadline", "%g" % (3 * SLOW), code=6)
    assert " 0 B of" in again.out(), again.out()


# ---- trackers and links

@test(deadline=90)
def test_endless_answers_of_ten_trackers_stay_small(t):
    scene = Scene(t, MIB)
    bad = [tracker.Tracker(t, "127.0.0.%d" % (9 + n), script=script)
           for n, script in enumerate([tracker.endless_body,
                                       tracker.endless_headers,
                                       tracker.gzip_bomb] * 3)]
    scene.torrent = sample.make_torrent(
        scene.path, [[one.url] for one in bad] + [[scene.tracker.url]])
    scene.torrent.save(scene.file)
    one = scene.seed(peer.never_unchokes)
    proc = scene.start()
    # A line for each of the first ones; the others are no news.
    wait_for(lambda: one.connections and all(b.announces for b in bad) and
             len(re.findall("too large|larger", proc.err())) >= 6, 60,
             "all to be asked, and refused", alive=[proc])
    proc.signal(signal.SIGTERM)
    proc.expect(143, 30)
    # Each answer may be 2 MiB before it is refused.
    held(proc, 10 + 10 * 8, "9 endless trackers")


@test(quick=True)
def test_a_torrent_that_a_server_inflates_stays_small(t):
    """A few KiB on the line, and as much as one likes when unpacked."""
    server = tracker.Tracker(t, script=tracker.gzip_bomb)
    done = t.run_btget("-d", t.path("got"), server.url, code=3)
    assert done.err().endswith("the answer is larger than 32.0 MiB\n"), \
        done.err()
    held(done, 256, "an inflated torrent")


@test(quick=True)
def test_a_file_that_is_too_large_is_not_read(t):
    path = t.path("x.torrent")
    with open(path, "wb") as file:
        file.truncate(1 << 34)

    def little():
        if not SANITIZED:
            resource.setrlimit(resource.RLIMIT_DATA, (BASE_KIB << 10,) * 2)
    done = t.run_btget("show", path, code=3, preexec_fn=little)
    assert done.err() == "btget: %s: larger than 256 MiB\n" % path


@test(deadline=60)
def test_planted_things_are_not_followed(t):
    """Links, devices and FIFOs where the state and the data would go."""
    for name in ("state", "state.new", "lock"):
        scene = Scene(t, MIB)
        scene.seed()
        victim = sample.write_file(t.path("victim-" + name), b"precious")
        os.makedirs(os.path.dirname(scene.state))
        os.symlink(victim, scene.state[:-len("state")] + name)
        proc = scene.start("--deadline", "20s")
        code = proc.wait(40)
        assert code in (0, 4), (name, code, proc.err())
        assert read_text(victim) == "precious", name
        if code == 0:
            scene.check()
    scene = Scene(t, MIB)
    scene.seed()
    os.makedirs(os.path.dirname(scene.state))
    os.mkfifo(scene.state)
    code = scene.start("--deadline", "20s").wait(40)
    assert code in (0, 4), code


# ---- what a torrent from outside cannot reach inside

PUBLIC = "203.0.113.7"


def public_address():
    """Puts an address of the documentation's range on the loopback."""
    subprocess.run(["ip", "addr", "add", PUBLIC + "/32", "dev", "lo"],
                   check=True, stdin=subprocess.DEVNULL)


def asks_inside(t, announce, inside):
    """Runs a torrent with this tracker; what the service inside was asked."""
    scene = Scene(t, MIB)
    scene.torrent = sample.make_torrent(scene.path, announce)
    scene.torrent.save(scene.file)
    scene.start("--deadline", "3s").expect(5, 20)
    return list(inside.requests)


@test(needs="namespaces")
def test_a_public_tracker_cannot_redirect_inside(t):
    public_address()
    inside = tracker.Tracker(t)
    for host, path in (("127.0.0.1", "/announce"), ("localhost", "/reboot"),
                       ("127.1", "/"), ("[::ffff:127.0.0.1]", "/reboot")):
        outside = tracker.Tracker(t, PUBLIC, script=tracker.redirect_to(
            "http://%s:%d%s" % (host, inside.port, path)))
        asked = asks_inside(t, outside.url, inside)
        assert outside.announces, "it was not met"
        assert not asked, asked


@test()
def test_a_tracker_inside_is_given_announces_alone(t):
    inside = tracker.Tracker(t)
    for path in ("/reboot", "/announce/../reboot", "/announce/%2e%2e/reboot",
                 "/reboot?x=/announce"):
        asked = asks_inside(t, inside.base + path, inside)
        assert not asked, asked
    assert asks_inside(t, inside.url + "?key=abc", inside)
    asked = asks_inside(t, inside.url + "/KEY", inside)
    assert any(path.startswith("/announce/KEY?") for path in asked), asked


@test(quick=True)
def test_a_tracker_inside_without_announce_is_told_of(t):
    scene = Scene(t, MIB)
    scene.torrent = sample.make_torrent(scene.path,
                                        scene.tracker.base + "/k3y/reboot")
    scene.torrent.save(scene.file)
    done = scene.download("--deadline", "%g" % (3 * SLOW), code=5)
    assert "/.../...': a tracker on a local address must have 'announce' in " \
        "its path" in done.err(), done.err()


@test(needs="namespaces")
def test_a_redirect_among_public_trackers_is_followed(t):
    public_address()
    scene = Scene(t, MIB, host=PUBLIC)
    outside = tracker.Tracker(t, PUBLIC, script=lambda request, note:
                              request.answer(b"", 302, Location="%s?%s" % (
                                  scene.tracker.url,
                                  request.path.split("?")[1])))
    scene.torrent = sample.make_torrent(scene.path, outside.url)
    scene.torrent.save(scene.file)
    scene.seed()
    scene.download()
    scene.check()
