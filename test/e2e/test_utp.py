"""Goal: peers are reached by uTP where TCP does not get there, both ways,
plain and encrypted, over good and bad paths; and with --no-utp not one packet
of it leaves."""
import contextlib
import os
import random
import socket
import time

import clients
import harness
import peer
import sample
import utp
from harness import OFFLINE, SANITIZED, note, test, wait_for
from relay import Relay
from swarm import MIB, Scene
from utp import Caller

ONLINE = [one for one in OFFLINE if one != "--no-utp"]


def same(want, got):
    try:
        sample.assert_same(want, got)
    except (AssertionError, OSError):
        return False
    return True


def leech(t, scene, *args, **more):
    return t.btget(*ONLINE, "-v", "-d", scene.target, "-p", "0", *args,
                   scene.file, plain=True, **more)


def seed(t, scene, *args, **more):
    """A btget that takes uTP."""
    return t.seed(scene.file, scene.source, *ONLINE, "-v", *args, plain=True,
                  **more)


def lone(t, size=4 * MIB, **more):
    return Scene(t, size=size, announce=None, **more)


# ---- real clients

def download_from_libtorrent(*theirs, ours=(), says="by uTP"):
    @test(deadline=90, needs=clients.NEEDS["libtorrent"])
    def run(t):
        scene = lone(t)
        one = clients.start_libtorrent(
            t, scene.file, scene.source, "127.0.0.1", "--utp",
            encrypt="encrypt" in theirs)
        wait_for(lambda: '"seeding": true' in one.proc.out(), 30,
                 "libtorrent to seed", alive=[one.proc])
        got = leech(t, scene, "-P", "127.0.0.1:%d" % one.port,
                    *ours).expect(0, 80)
        scene.check()
        assert says in got.err(), got.err()
    return run


def seed_to_libtorrent(*theirs, ours=(), says="by uTP"):
    @test(deadline=90, needs=clients.NEEDS["libtorrent"])
    def run(t):
        scene = lone(t)
        us = seed(t, scene, *ours)
        target = t.folder("theirs")
        one = clients.start_libtorrent(
            t, scene.file, target, "127.0.0.1", "--utp", "--peer",
            "127.0.0.1:%d" % us.port, encrypt="encrypt" in theirs)
        wait_for(lambda: same(scene.path, os.path.join(target, "data.bin")),
                 80, "a copy", alive=[us, one.proc])
        assert says in us.err(), us.err()
    return run


REQUIRE = "--encryption=require"
test_download_from_libtorrent = download_from_libtorrent()
test_download_from_libtorrent_encrypted = download_from_libtorrent(
    "encrypt", ours=(REQUIRE,), says="encrypted, by uTP")
test_seed_to_libtorrent = seed_to_libtorrent()
test_seed_to_libtorrent_encrypted = seed_to_libtorrent(
    "encrypt", ours=(REQUIRE,), says="encrypted, by uTP")


# Transmission cannot be told to do without TCP; the relay has none.

@test(deadline=120, needs=clients.NEEDS["transmission"])
def test_download_from_transmission(t):
    host = clients.host_for("transmission", number=1)
    scene = lone(t)
    one = clients.start_transmission(t, scene.file, scene.source, host,
                                     utp=True)
    relay = Relay(t, one.port, host, listen=clients.host_for(
        "transmission", number=2))
    wait_for(lambda: harness.accepts(host, one.port), 30, "Transmission",
             alive=[one.proc])
    got = leech(t, scene, "-P", relay.name).expect(0, 100)
    scene.check()
    assert ", by uTP" in got.err(), got.err()


@test(deadline=120, needs=clients.NEEDS["transmission"])
def test_seed_to_transmission(t):
    host = clients.host_for("transmission", number=1)
    scene = Scene(t, size=4 * MIB, host=clients.host_for("transmission"))
    quiet = sample.make_torrent(scene.path).save(t.path("quiet.torrent"))
    us = t.seed(quiet, scene.source, *ONLINE, "-v", plain=True, host=host)
    relay = Relay(t, us.port, host, listen=clients.host_for(
        "transmission", number=2))
    scene.tracker.static.append(relay.where)
    target = t.folder("theirs")
    one = clients.start_transmission(t, scene.file, target, host, utp=True)
    wait_for(lambda: same(scene.path, os.path.join(target, "data.bin")),
             100, "a copy", alive=[us, one.proc])
    assert ", by uTP" in us.err(), us.err()


# ---- among ourselves

@test(quick=True)
def test_where_tcp_is_refused_utp_gets_there(t):
    scene = lone(t)
    relay = Relay(t, seed(t, scene).port)
    got = leech(t, scene, "-P", relay.name).expect(0)
    scene.check()
    assert ", by uTP" in got.err(), got.err()


@contextlib.contextmanager
def silent_port(where):
    """TCP's SYN is never answered there: its only place is taken."""
    with socket.socket() as there, socket.socket() as first:
        there.bind(where)
        there.listen(0)
        first.connect(where)
        yield


@test(quick=True)
def test_where_tcp_is_not_answered_utp_gets_there(t):
    scene = lone(t)
    relay = Relay(t, seed(t, scene).port)
    with silent_port(relay.where):
        # A dial may take 10 s where there is no other way.
        got = leech(t, scene, "--stall-timeout", "8s", "-P",
                    relay.name).expect(0)
    scene.check()
    assert ", by uTP" in got.err(), got.err()


@test(deadline=120)
def test_a_bad_path_spoils_nothing(t):
    scene = lone(t)
    relay = Relay(t, seed(t, scene).port, lose=30, twice=30, late=100)
    leech(t, scene, "-P", relay.name).expect(0, 100)
    scene.check()
    assert relay.lost > 20


@test(deadline=90, quick=True)
def test_encrypted_among_ourselves(t):
    scene = lone(t)
    us = seed(t, scene, REQUIRE)
    relay = Relay(t, us.port)
    got = leech(t, scene, REQUIRE, "-P", relay.name).expect(0)
    scene.check()
    assert ", encrypted, by uTP" in got.err(), got.err()


@test(deadline=90)
def test_a_path_that_is_cut_is_given_up_and_taken_again(t):
    scene = lone(t)
    relay = Relay(t, seed(t, scene, "--up-limit", "1M").port)
    proc = leech(t, scene, "-P", relay.name)
    wait_for(lambda: relay.answered > 500, 30, "some data", alive=[proc])
    relay.cut = True
    lost = relay.lost
    wait_for(lambda: relay.lost > lost + 3, 30, "losses", alive=[proc])
    relay.cut = False
    proc.expect(0, 60)
    scene.check()


@test(quick=True)
def test_without_utp_nothing_of_it_leaves(t):
    scene = lone(t, MIB)
    relay = Relay(t, seed(t, scene).port)
    t.btget(*ONLINE, "--no-utp", "-d", scene.target, "-p", "0", "-P",
            relay.name, "--stall-timeout", "5s", scene.file,
            plain=True).expect(5)
    assert relay.heard == 0


@test(quick=True)
def test_without_utp_nobody_comes_in(t):
    scene = lone(t, MIB)
    us = seed(t, scene, "--no-utp", "--no-dht")
    caller = Caller(t, ("127.0.0.1", us.port))
    caller.call()
    assert not caller.answered(1)


@test(quick=True)
def test_a_proxy_turns_it_off(t):
    scene = lone(t, MIB)
    relay = Relay(t, seed(t, scene).port)
    leech(t, scene, "-P", relay.name, "--proxy", "socks5://127.0.0.1:9",
          "--stall-timeout", "5s").expect(5)
    assert relay.heard == 0


@test(quick=True)
def test_where_utp_fails_tcp_has_its_turn(t):
    """It closes what comes by TCP, so that uTP is tried, which it lacks; and
    has thought better of it by then."""
    scene = lone(t, MIB)
    tries = []

    def script(one, conn):
        tries.append(time.monotonic())
        if len(tries) > 1:
            peer.good_seed(one, conn)
    fickle = peer.Peer(t, scene.torrent, scene.content, script)
    where = "%s:%d" % fickle.where
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    t.at_end.append(udp.close)
    udp.bind(fickle.where)
    udp.setblocking(False)
    got = leech(t, scene, "-P", where).expect(0, 50)
    scene.check()
    assert udp.recv(2048)[:1] == b"\x41", "no SYN came"
    assert "by uTP" not in got.err(), got.err()


# ---- hostile ones

def handshake(scene, ident=b"-xx0000-aaaaaaaaaaaa"):
    return b"\x13BitTorrent protocol" + bytes(8) + \
        bytes.fromhex(scene.torrent.hex) + ident


def threads(proc, name=None):
    """How many it has; those of that name."""
    found = 0
    for task in os.listdir("/proc/%d/task" % proc.pid):
        with contextlib.suppress(OSError):
            if name is None or name == harness.read_text(
                    "/proc/%d/task/%s/comm" % (proc.pid, task)).strip():
                found += 1
    return found


def still_serves(t, scene, us):
    relay = Relay(t, us.port)
    leech(t, scene, "-P", relay.name).expect(0, 50)
    scene.check()


@test(deadline=90, quick=True)
def test_garbage_and_callers_without_end_cost_nothing(t):
    scene = lone(t, MIB)
    us = seed(t, scene)
    before, memory = threads(us), us.peak()
    dice = random.Random(1)
    caller = Caller(t, ("127.0.0.1", us.port))
    for _ in range(30000):
        kind = dice.randrange(8)
        data = dice.randbytes(dice.choice((0, 1, 16, 400)))
        with contextlib.suppress(OSError):
            caller.socket.send(
                utp.packet(kind % 5, dice.randrange(1 << 16),
                           dice.randrange(1 << 16), dice.randrange(1 << 16),
                           data, extension=dice.choice((0, 0, 1, 2, 255)))
                if kind < 5 else data)
    # Each of these is another one, as far as can be seen.
    for number in range(0, 20000, 2):
        caller.send(utp.SYN, 1, number=number)
    still_serves(t, scene, us)
    wait_for(lambda: threads(us) == before, 20, "the leech's thread to end",
             alive=[us])
    grown = us.peak() - memory
    note("memory grew by %d KiB" % grown)
    assert SANITIZED or grown < 8192, grown


@test(deadline=120)
def test_a_crowd_that_says_nothing_gets_no_threads(t):
    """Connections that stand, some with half a handshake."""
    scene = lone(t, MIB)
    us = seed(t, scene)
    before = threads(us, "peer")
    crowd = []
    for i in range(600):
        one = Caller(t, ("127.0.0.1", us.port))
        one.call()
        if one.answered():
            one.say(handshake(scene)[:1 + i % 47])
            crowd.append(one)
    assert len(crowd) > 400, len(crowd)
    assert threads(us, "peer") == before
    still_serves(t, scene, us)
    wait_for(lambda: any(one.receive() and one.resets for one in crowd),
             30, "the first to be sent away", alive=[us])


@test(deadline=120)
def test_a_crowd_that_speaks_has_the_limits_of_tcp(t):
    """Ten, and sixteen that shake hands."""
    scene = lone(t, MIB)
    us = seed(t, scene, "--max-peers", "10")
    for i in range(100):
        one = Caller(t, ("127.0.0.1", us.port), "127.0.0.%d" % (2 + i))
        one.call()
        if one.answered():
            one.say(handshake(scene, b"-xx0000-%012d" % i))
    wait_for(lambda: us.err().count(": came in") == 10, 20, "ten peers",
             alive=[us])
    for _ in range(20):
        assert threads(us, "peer") <= 10 + 16
        time.sleep(0.05)
    assert us.err().count(": came in") == 10, us.err()


@test(deadline=60, quick=True)
def test_a_blocked_address_hears_nothing(t):
    scene = lone(t, MIB)
    blocked = t.path("list")
    sample.write_file(blocked, b"127.0.0.9/32\n")
    us = seed(t, scene, "--blocklist", blocked)
    for host, answer in (("127.0.0.8", True), ("127.0.0.9", False)):
        caller = Caller(t, ("127.0.0.1", us.port), host)
        caller.call()
        assert caller.answered(20 if answer else 2) == answer, host


def wakes(proc, name):
    """How often the thread of this name has waited."""
    for task in os.listdir("/proc/%d/task" % proc.pid):
        where = "/proc/%d/task/%s/" % (proc.pid, task)
        if harness.read_text(where + "comm").strip() == name:
            for line in harness.read_text(where + "status").splitlines():
                if line.startswith("voluntary_ctxt_switches"):
                    return int(line.split()[1])
    return None


@test(deadline=90)
def test_an_idle_connection_wakes_nobody(t):
    scene = lone(t, MIB)
    us = seed(t, scene)
    caller = Caller(t, ("127.0.0.1", us.port))
    caller.call()
    assert caller.answered()
    caller.say(handshake(scene))
    wait_for(lambda: caller.receive(0.1) is None and
             len(caller.came) > 67, 20, "its handshake", alive=[us])
    while caller.receive(2):
        pass
    before = wakes(us, "udp"), wakes(us, "peer")
    time.sleep(10)
    after = wakes(us, "udp"), wakes(us, "peer")
    note("in ten seconds: udp %d, peer %d" % (after[0] - before[0],
                                              after[1] - before[1]))
    assert after[0] - before[0] < 10
    assert caller.resets == 0
