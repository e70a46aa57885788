"""Goal: limits of rate, time and seeding are kept, and the exit status tells
what happened: 5 where nobody could be reached, 6 where somebody could."""
import os
import signal
import threading
import time

import peer
import sample
from harness import SLOW, free_port, test, wait_for
from preload import Sleep, library
from swarm import MIB, Blackhole, Scene


def timed(proc, code=0, seconds=60):
    proc.expect(code, seconds)
    return time.monotonic() - proc.started


@test(deadline=60)
def test_the_download_limit_is_kept(t):
    scene = Scene(t, 6 * MIB)
    for number in (2, 3, 4):
        scene.seed(host="127.0.0.%d" % number)
    took = timed(scene.start("--down-limit", "1M"))
    scene.check()
    assert 4 < took < 14, took


@test(deadline=60)
def test_the_upload_limit_is_kept_for_all_together(t):
    scene = Scene(t, 3 * MIB)
    seed = t.seed(scene.file, scene.source, "--up-limit", "1M")
    started = time.monotonic()
    both = [peer.Dialer(t, scene.torrent, ("127.0.0.1", seed.port),
                        peer.good_leech, host="127.0.0.%d" % n)
            for n in (2, 3)]
    for one in both:
        assert one.done.wait(40 * SLOW), one.ends
    took = time.monotonic() - started
    assert 4 < took < 14, took


@test(deadline=90)
def test_the_upload_limit_does_not_slow_the_download(t):
    """Two that have different pieces serve each other, one of them at little:
    what it asks the other for does not wait behind that."""
    scene = Scene(t, 12 * MIB)
    pieces = range(scene.torrent.piece_count)
    quarter = len(pieces) // 4
    other = t.path("other")
    scene.plant(other, pieces[quarter:])
    scene.plant(scene.target, pieces[:quarter])
    port = free_port()
    t.btget("-d", other, "-p", port, "--seed-time", "1h", "--up-limit", "2M",
            scene.file)
    proc = scene.start("-P", "127.0.0.1:%d" % port, "--up-limit", "20K")
    took = timed(proc, seconds=80)
    scene.check()
    assert "sent" in proc.out(), proc.out()     # it was to serve, too
    assert took < 30, took


@test(quick=True)
def test_nobody_there_is_5(t):
    """The tracker answers, without a single peer."""
    scene = Scene(t, MIB)
    took = timed(scene.start("--stall-timeout", "2s"), 5, 20)
    assert 1.5 < took < 12, took


@test()
def test_one_who_may_not_listen_dials(t):
    """As a sandbox may have it. Trackers want a port all the same."""
    scene = Scene(t, MIB)
    scene.seed()
    run = scene.download(env=dict(t.env, LD_PRELOAD=library(t),
                                  FAULT="bind:1:EPERM:on"))
    lines = run.err().splitlines()
    assert len(lines) == 1 and "nobody can connect to us" in lines[0], lines
    scene.check()
    assert {a.port for a in scene.tracker.announces} == {49151}


@test()
def test_a_dead_tracker_is_5(t):
    scene = Scene(t, MIB, announce="http://127.0.0.1:%d/a" % free_port())
    timed(scene.start("--stall-timeout", "2s"), 5, 20)


@test()
def test_unreachable_peers_are_5(t):
    scene = Scene(t, MIB)
    scene.tracker.static += [("127.0.0.1", free_port()),
                             Blackhole(t).where]
    timed(scene.start("--stall-timeout", "3s"), 5, 20)


@test(quick=True)
def test_a_peer_that_gives_nothing_is_6(t):
    scene = Scene(t, MIB)
    scene.seed(peer.never_unchokes)
    done = scene.start("--stall-timeout", "%g" % (3 * SLOW))
    timed(done, 6, 20)
    lines = done.err().splitlines()
    assert len(lines) == 1 and lines[0].startswith("btget: "), done.err()


@test()
def test_a_stall_in_the_middle_is_6_and_resumes(t):
    scene = Scene(t, 2 * MIB)
    half = range(scene.torrent.piece_count // 2)
    seed = scene.seed(have=half)
    timed(scene.start("--stall-timeout", "%g" % (3 * SLOW)), 6, 20)
    sent = seed.sent
    rest = scene.seed(host="127.0.0.2")
    scene.download()
    scene.check()
    assert sent >= len(half) * scene.torrent.piece_length
    assert seed.sent + rest.sent <= 2 * MIB + 8 * 65536


@test()
def test_progress_puts_the_stall_off(t):
    scene = Scene(t, MIB)
    scene.slow_seed(0.1 * SLOW)
    took = timed(scene.start("--stall-timeout", "%g" % (3 * SLOW)), 0, 50)
    scene.check()
    assert took > 4 * SLOW, took


@test()
def test_time_in_which_it_was_stopped_is_no_stall(t):
    """What comes afterwards does not come at once, either."""
    scene = Scene(t, MIB)
    goes_on = threading.Event()

    def script(one, conn):
        peer.greet(one, conn)

        def answer(index, begin, length):
            while len(one.requests) > 8 and not goes_on.wait(0.05):
                conn.check()
            return one.block(index, begin, length)
        peer.serve(one, conn, answer)
    seed = scene.seed(script)
    proc = scene.start("--stall-timeout", "4s", "--progress=json")
    scene.wait_requests(seed, 9, proc)
    proc.signal(signal.SIGSTOP)
    end = time.monotonic() + 7
    wait_for(lambda: time.monotonic() > end, 8, "the stall timeout")
    seen = len(proc.out())
    proc.signal(signal.SIGCONT)
    wait_for(lambda: len(proc.out()) > seen, 3, "a sign of life")
    goes_on.set()
    proc.expect(0)
    scene.check()


@test(quick=True)
def test_the_deadline_without_peers_is_5(t):
    scene = Scene(t, MIB)
    took = timed(scene.start("--deadline", "2"), 5, 20)
    assert 1.5 < took < 12, took


@test()
def test_the_deadline_with_peers_is_6_and_resumes(t):
    scene = Scene(t, 4 * MIB)
    seed = scene.seed_of(100)
    took = timed(scene.start("--deadline", "%g" % (2 * SLOW)), 6, 20)
    assert 1.5 * SLOW < took < 12 * SLOW, took
    seed.go.set()
    scene.download("--deadline", "1m")
    scene.check()


@test(deadline=90)
def test_the_deadline_comes_while_the_machine_is_suspended(t):
    """It is of the user's clock."""
    scene = Scene(t, MIB)
    idle = scene.seed(peer.never_unchokes)
    sleep = Sleep(t, scene.target)
    proc = scene.start("--deadline", "1h", env=sleep.env)
    wait_for(idle.acted.is_set, 20, "a peer", alive=[proc])
    sleep.last(7200)
    proc.expect(6, 40)
    assert "the deadline came" in proc.err(), proc.err()


@test()
def test_the_seed_time_ends_it(t):
    scene = Scene(t, MIB)
    scene.seed()
    took = timed(scene.start("--seed-time", "3s"))
    assert 2.5 < took < 12, took


@test()
def test_the_seed_ratio_ends_it(t):
    scene = Scene(t, MIB)
    source = scene.seed()
    proc = scene.start("--seed-ratio", "2")
    wait_for(lambda: scene.tracker.seeders(scene.torrent), 20,
             "completion", alive=[proc])
    port = scene.tracker.of(scene.torrent)[-1].port
    source.stop()
    for number in (2, 3):
        assert proc.running()
        one = peer.Dialer(t, scene.torrent, ("127.0.0.1", port),
                          peer.good_leech, host="127.0.0.%d" % number)
        assert one.done.wait(20 * SLOW), one.ends
    proc.expect(0, 20)


@test(quick=True)
def test_a_seed_time_of_nothing_ends_it_whatever_the_ratio(t):
    scene = Scene(t, MIB)
    scene.seed()
    done = scene.download("--seed-ratio", "5", "--seed-time", "0")
    scene.check()
    assert "seeding" not in done.out(), done.out()


@test(quick=True)
def test_the_ratio_of_nothing_is_reached(t):
    """Nobody could ever be sent anything of a torrent of empty files, or of
    the one empty file that was selected."""
    scene = Scene(t, files=(("empty", 0), ("other", 0)))
    scene.download("--seed-ratio", "1")
    scene.check()
    scene = Scene(t, files=(("empty", 0), ("full", MIB)))
    scene.download("--seed-ratio", "1", "-f", "empty")


@test()
def test_a_given_peer_needs_no_tracker(t):
    scene = Scene(t, MIB, announce=None)
    one = peer.Peer(t, scene.torrent, scene.content)
    scene.download("-P", "%s:%d" % one.where)
    scene.check()


@test()
def test_a_given_peer_by_ipv6(t):
    scene = Scene(t, MIB, announce=None)
    one = peer.Peer(t, scene.torrent, scene.content, host="::1")
    scene.download("--peer", "[::1]:%d" % one.where[1])
    scene.check()


@test(quick=True)
def test_max_peers_is_kept(t):
    scene = Scene(t, MIB)
    crowd = [scene.seed(peer.never_unchokes, host="127.0.0.%d" % n)
             for n in range(2, 32)]
    proc = scene.start("--max-peers", "5")

    def are_five():
        return sum(one.connections - len(one.ends) for one in crowd) == 5

    def stay_five():
        return are_five() and not time.sleep(1) and are_five()

    wait_for(stay_five, 30, "five peers, and no more", alive=[proc])


@test(deadline=150)
def test_who_found_no_place_is_called_again(t):
    """More peers came at once than have places, which is no fault of theirs:
    once those that had one have left, the others get it, and do not wait
    minutes as after failures."""
    scene = Scene(t, MIB)

    def leaves(one, conn):
        conn.handshake()
        conn.message()          # none comes where there is no place
        one.acted.set()
        conn.linger(1)
    peers = [scene.seed(leaves, host="127.0.0.%d" % (10 + n))
             for n in range(6)]
    proc = scene.start("--max-peers", "3", "--encryption", "off", "--no-utp",
                       "--no-pex")
    wait_for(lambda: all(one.acted.is_set() for one in peers), 100,
             "a place for each", alive=[proc])


@test(quick=True)
def test_the_log_says_who_found_no_place(t):
    scene = Scene(t, MIB)
    seed = t.seed(scene.file, scene.source, "--max-peers", "1", "-v")

    def stays(one, conn):
        conn.handshake()
        conn.send(peer.INTERESTED)
        conn.wait_end()
    for host in ("127.0.0.2", "127.0.0.3"):
        peer.Dialer(t, scene.torrent, ("127.0.0.1", seed.port), stays,
                    host=host)
    wait_for(lambda: "closed: " in seed.err(), 20, "the end of one",
             alive=[seed])
    assert "closed: no place for it" in seed.err(), seed.err()


@test(deadline=90)
def test_two_connections_with_one_peer_may_both_be_closed(t):
    """At two ports of one address. We keep the one, it keeps the other, and
    neither stays: one of the ports is dialled again soon."""
    scene = Scene(t, MIB)
    met, doubled = [], threading.Event()

    def keeps_the_other(one, conn):
        conn.handshake()
        met.append(conn)
        if conn not in met[:2]:
            conn.bitfield()
            conn.send(peer.UNCHOKE)
            peer.serve(one, conn)
        try:
            conn.message()
        except peer.Closed:
            doubled.set()
            raise
        while not doubled.wait(0.05):
            conn.check()
    for _ in range(2):
        scene.seed(keeps_the_other, host="127.0.0.10",
                   peer_id=b"-TT0001-one and same")
    run = scene.download("--encryption", "off", "--no-utp", "--no-pex", "-v",
                         seconds=60)
    scene.check()
    assert "closed: connected already" in run.err(), run.err()


@test(deadline=90)
def test_a_peer_that_leaves_is_dialled_again(t):
    scene = Scene(t, 2 * MIB)

    def leaves(one, conn):
        peer.greet(one, conn)

        def answer(index, begin, length):
            if one.sent >= MIB and one.connections == 1:
                raise peer.Closed("gone")
            return one.block(index, begin, length)
        peer.serve(one, conn, answer)
    one = scene.seed(leaves)
    scene.download(seconds=80)
    scene.check()
    assert one.connections >= 2


@test()
def test_an_incoming_peer_is_enough(t):
    """Nobody can be dialled; the one who dials us has all."""
    scene = Scene(t, MIB)
    proc = scene.start()
    note = wait_for(lambda: scene.tracker.of(scene.torrent), 20, "announce",
                    alive=[proc])[0]
    peer.Dialer(t, scene.torrent, ("127.0.0.1", note.port), peer.good_seed,
                content=scene.content)
    proc.expect(0)
    sample.assert_same(scene.path, scene.result)


@test(deadline=120)
def test_who_came_in_is_dialled_when_it_has_left(t):
    """And not before: most clients take one connection of an address, and a
    refusal would count against it."""
    scene = Scene(t, MIB)
    seed = peer.Peer(t, scene.torrent, scene.content, host="127.0.0.2")
    leave = threading.Event()

    def guest(_one, conn):
        conn.handshake(reserved=peer.EXTENSIONS)
        conn.write(peer.extended(0, sample.bencode(
            {"m": {}, "p": seed.where[1], "v": "guest"})))
        while not leave.wait(0.05):
            conn.check()

    proc = scene.start("-vv")
    note = wait_for(lambda: scene.tracker.of(scene.torrent), 20, "announce",
                    alive=[proc])[0]
    peer.Dialer(t, scene.torrent, ("127.0.0.1", note.port), guest,
                host="127.0.0.2")
    wait_for(lambda: "is guest" in proc.err(), 20, "guest", alive=[proc])
    told = len(scene.tracker.of(scene.torrent))
    scene.tracker.static.append(seed.where)
    wait_for(lambda: len(scene.tracker.of(scene.torrent)) >= told + 3, 40,
             "three announces", alive=[proc])
    assert seed.connections == 0
    leave.set()
    proc.expect(0, 50)
    scene.check()


@test(quick=True)
def test_torrents_share_the_slots_of_a_limit(t):
    """Of 8 that it stands for one alone has what it can use, and each of two
    has 4."""
    scenes = [Scene(t, 4 * MIB, name="data%d" % n) for n in range(2)]
    for scene in scenes[1:]:
        os.link(scene.path, os.path.join(scenes[0].source, scene.torrent.name))
    port = free_port()
    seed = t.btget("-d", scenes[0].source, "-p", port, "--seed-time", "1h",
                   "--up-limit", "192K", *[scene.file for scene in scenes])
    wait_for(lambda: seed.out().count("seeding") == 2, 20, "both",
             alive=[seed])

    unchoked = set()

    def asks(one, conn):
        conn.handshake()
        conn.bitfield([])
        conn.send(peer.INTERESTED)
        while True:
            kind = conn.message()[0]
            if kind == peer.UNCHOKE:
                unchoked.add(one)
            elif kind == peer.CHOKE:
                unchoked.discard(one)

    def crowd(scene, first):
        return [peer.Dialer(t, scene.torrent, ("127.0.0.1", port), asks,
                            host="127.0.0.%d" % n)
                for n in range(first, first + 7)]

    def open_slots(peers):
        return len(unchoked.intersection(peers))
    alone = crowd(scenes[0], 20)
    wait_for(lambda: open_slots(alone) == 7, 20, "a slot for each",
             alive=[seed])
    other = crowd(scenes[1], 40)
    wait_for(lambda: open_slots(alone) == open_slots(other) == 4, 30,
             "half of them each", alive=[seed])
