"""Goal: no peer, whatever it sends, crashes btget, makes it hang or swell,
lets it claim wrong bytes, or keeps it from the honest peer beside it. Each
hostile peer is met first: the honest one waits until it has done its worst,
and has an address of its own."""
import os
import struct
import threading
import time

import peer
import sample
from harness import SANITIZED, SLOW, test, wait_for
from swarm import MIB, Blackhole, Flag, Scene

# What a download of a few MiB with a few peers may have resident.
LIMIT_MIB = 64


def held(proc):
    assert proc.peak_kib > 0, "it was not looked at"
    assert SANITIZED or proc.peak_kib < LIMIT_MIB << 10, \
        "%d KiB resident" % proc.peak_kib


def downloads_beside(name):
    @test(deadline=120, quick=name in (
        "a length of 4 GiB", "bad blocks always", "never unchokes",
        "extension rubbish", "blocks of piece 2^32-1"))
    def run(t):
        scene = Scene(t, 2 * MIB + 99, piece_length=3 * 16384)
        bad = scene.seed(peer.SEEDS[name], host="127.0.0.2")
        scene.seed(host="127.0.0.3", hold=Flag(bad.acted.is_set, 0.3))
        proc = scene.start()
        wait_for(lambda: proc.peak() and bad.acted.is_set(), 40,
                 "hostile peer that was met", alive=[proc])
        proc.expect(0, 90)
        scene.check()
        held(proc)
    return run


for NAME in peer.SEEDS:
    globals()["test_download_beside_" + NAME.replace(" ", "_")] = \
        downloads_beside(NAME)


def seeds_despite(name):
    @test(deadline=90, quick=name in (
        "requests without reading", "a begin of 2^32-1"))
    def run(t):
        scene = Scene(t, 2 * MIB + 99)
        seed = t.seed(scene.file, scene.source)
        where = ("127.0.0.1", seed.port)
        bad = peer.Dialer(t, scene.torrent, where, peer.LEECHES[name],
                          host="127.0.0.2")
        assert bad.acted.wait(40 * SLOW), "it was not met: %s" % bad.ends
        good = peer.Dialer(t, scene.torrent, where, peer.good_leech,
                           host="127.0.0.3")
        assert good.done.wait(60 * SLOW), good.ends
        seed.peak()
        held(seed)
        assert seed.running()
    return run


for NAME in peer.LEECHES:
    globals()["test_seed_despite_" + NAME.replace(" ", "_")] = \
        seeds_despite(NAME)


@test(deadline=120, quick=True)
def test_a_poisoner_is_banned(t):
    """It may spoil a few pieces, and is then never asked again."""
    scene = Scene(t, 4 * MIB, piece_length=65536)
    bad = scene.seed(peer.bad_data(lambda i, b, n: True), host="127.0.0.2")
    good = scene.slow_seed(0.01, host="127.0.0.3")
    proc = scene.download("-v", seconds=90)
    scene.check()
    assert bad.requests, "it was not met"
    spoilt = len(bad.requests) * 16384
    assert spoilt < scene.torrent.length / 2, "%d bytes of it" % spoilt
    assert good.connections
    before = bad.connections
    assert before <= 3, "%d connections" % before
    held(proc)


@test(deadline=120)
def test_a_poisoner_among_many_is_found(t):
    """Pieces are put together from several peers; only one lies, in one
    block of ten."""
    scene = Scene(t, 6 * MIB, piece_length=MIB)
    bad = scene.seed(peer.bad_data(lambda i, b, n: n % 10 == 0),
                     host="127.0.0.2")
    good = [scene.slow_seed(0.004, host="127.0.0.%d" % n)
            for n in range(3, 7)]
    scene.download(seconds=100)
    scene.check()
    assert bad.acted.is_set()
    # None of the honest was banned with it.
    assert all(one.connections <= 3 for one in good)


@test(deadline=200)
def test_a_poisoner_as_slow_as_the_others_is_found(t):
    """A piece that takes long alone must not be shared with it each time."""
    scene = Scene(t, 256 * 1024, piece_length=256 * 1024)

    def slow(lies):
        def script(one, conn):
            peer.greet(one, conn)

            def answer(index, begin, length):
                conn.linger(length / 16384)
                data = one.block(index, begin, length)
                return bytes([data[0] ^ 1]) + data[1:] if lies else data
            peer.serve(one, conn, answer)
        return script
    for n in (2, 3):
        scene.seed(slow(False), host="127.0.0.%d" % n)
    scene.seed(slow(True), host="127.0.0.9")
    scene.download(seconds=150)
    scene.check()


@test(deadline=60)
def test_only_poison_never_completes(t):
    scene = Scene(t, MIB)
    bad = scene.seed(peer.bad_data(lambda i, b, n: True), host="127.0.0.2")
    scene.download("--stall-timeout", "5s", code=6, seconds=40)
    assert bad.acted.is_set()
    assert not os.path.exists(scene.result)


def beside_one_that_chokes(t, reserved):
    """A piece that failed is given to a single peer. That one sends a block
    of it, chokes, and stays: the rest comes from another one."""
    scene = Scene(t, MIB, piece_length=MIB // 4)
    lied, choked = threading.Event(), threading.Event()

    def lies(one, conn):
        peer.greet(one, conn)
        try:
            peer.serve(one, conn, lambda i, b, n: bytes(n))
        finally:
            lied.set()

    def chokes(one, conn):
        conn.handshake(reserved=reserved)
        while not lied.wait(0.05):
            conn.check()
        conn.write(peer.extended(0, sample.bencode({b"m": {}, b"reqq": 1})))
        conn.bitfield(one.have)
        conn.send(peer.UNCHOKE)
        kind = None
        while kind != peer.REQUEST:
            kind, payload = conn.message()
        asked = struct.unpack(">III", payload)
        block = struct.pack(">II", *asked[:2]) + one.block(*asked)
        conn.write(peer.message(peer.PIECE, block) +
                   peer.message(peer.CHOKE))
        choked.set()
        conn.linger()

    scene.seed(lies, "127.0.0.2", have=[0])
    one = scene.seed(chokes, "127.0.0.3", have=[0])
    good = scene.seed(host="127.0.0.4", hold=choked)
    scene.download(seconds=40)
    scene.check()
    assert choked.is_set() and one.connections
    assert sum(asked[0] == 0 for asked in good.requests) == 16


@test(deadline=60, quick=True)
def test_a_bad_piece_is_not_left_with_one_that_chokes(t):
    beside_one_that_chokes(t, peer.EXTENSIONS)


@test(deadline=60)
def test_a_bad_piece_is_not_left_with_one_that_chokes_without_fast(t):
    beside_one_that_chokes(t, b"\0\0\0\0\0\x10\0\0")


@test(deadline=90)
def test_silent_connections_do_not_keep_a_good_peer_out(t):
    scene = Scene(t, MIB)
    seed = t.seed(scene.file, scene.source)
    where = ("127.0.0.1", seed.port)
    for number in range(300):
        peer.Dialer(t, scene.torrent, where, peer.instead(b""),
                    host="127.0.0.%d" % (10 + number % 200))
    good = peer.Dialer(t, scene.torrent, where, peer.good_leech,
                       host="127.0.0.3")
    assert good.done.wait(60 * SLOW), good.ends
    seed.peak()
    held(seed)


@test(deadline=60)
def test_unreachable_peers_do_not_delay_a_good_one(t):
    scene = Scene(t, MIB)
    dead = [Blackhole(t, "127.0.0.%d" % n) for n in range(10, 60)]
    scene.tracker.static += [one.where for one in dead]
    scene.seed(host="127.0.0.3")
    started = time.monotonic()
    scene.download(seconds=50)
    assert SANITIZED or time.monotonic() - started < 15
    scene.check()


@test(deadline=90)
def test_a_slow_peer_does_not_hold_the_end(t):
    scene = Scene(t, 2 * MIB)
    slow = scene.seed(peer.byte_by_byte, host="127.0.0.2")
    scene.seed(host="127.0.0.3", hold=slow.acted)
    scene.download(seconds=60)
    scene.check()


@test(deadline=90, quick=True)
def test_seeds_that_answer_nothing_do_not_hold_the_end(t):
    """Not even when they have been asked for every block before."""
    scene = Scene(t, MIB)
    silent = [scene.seed(peer.takes_requests_only, host="127.0.0.%d" % n)
              for n in range(20, 50)]
    scene.seed(host="127.0.0.3", hold=Flag(lambda: sum(
        one.acted.is_set() for one in silent) > 20))
    scene.download(seconds=30)
    scene.check()


@test(deadline=180)
def test_a_request_that_is_lost_is_said_again(t):
    """By the only seed, near the end, when nothing else is under way: after
    the 90 s that a request has, not when something else happens."""
    scene = Scene(t, MIB, piece_length=65536)

    def forgets_one(one, conn):
        def answer(index, begin, length):
            if len(one.requests) == 60:
                return None
            return one.block(index, begin, length)
        peer.greet(one, conn)
        peer.serve(one, conn, answer)
    scene.seed(forgets_one)
    started = time.monotonic()
    scene.download(seconds=150)
    assert SANITIZED or time.monotonic() - started < 110
    scene.check()


@test(deadline=60)
def test_one_peer_with_many_connections_counts_once(t):
    """The same peer id from one address again and again."""
    scene = Scene(t, MIB)
    seed = t.seed(scene.file, scene.source)
    ids = b"-TT0001-samesamesame"
    many = [peer.Dialer(t, scene.torrent, ("127.0.0.1", seed.port),
                        lambda p, c: (c.handshake(), c.wait_end(10)),
                        host="127.0.0.2", peer_id=ids) for _ in range(30)]
    wait_for(lambda: sum(bool(one.ends) for one in many) >= 29, 20,
             "closing of the doubles")
    assert seed.running()


@test(deadline=90)
def test_a_silent_peer_is_not_flooded_with_keepalives(t):
    """aria2 hangs up when two come within 5 s."""
    scene = Scene(t, MIB)
    told = []

    def says_nothing(one, conn):
        peer.greet(one, conn)
        while len(told) < 2:
            if conn.message()[0] is None:
                told.append(time.monotonic())
        one.done.set()
        conn.wait_end()
    seed = scene.seed(says_nothing)
    proc = scene.start()
    wait_for(seed.done.is_set, 60, "two keepalives", alive=[proc])
    assert told[1] - told[0] > 5, told
