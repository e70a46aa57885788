"""Goal: two peers behind routers that let nobody in download from each other,
brought together by a third one, with btget and with libtorrent in each of the
three parts; and without that third one's help, they do not."""
import contextlib
import os
import socket
import struct
import time

import clients
import harness
import nat
import peer
import sample
from harness import OFFLINE, note, test, wait_for
from nat import PORT, RELAY, Home
from roads import Watch, ip
from swarm import MIB, Scene

ONLINE = [one for one in OFFLINE if one not in ("--no-utp", "--no-pex")]
# The relay wants the first file, which nobody has; so it stays, and never
# holds a byte of the second one, which the others are about.
FILES = (("a.bin", MIB), ("b.bin", 2 * MIB))
THEIRS, OURS = 1, 2
RELAY_PORT = 7001
RELAY_AT = "%s:%d" % (RELAY, RELAY_PORT)
SAYS = "as peer"        # in the log, of somebody who is called


class Three:
    """The torrent, and two homes."""

    def __init__(self, t, seed_home=None, leech_home=None):
        self.t = t
        self.scene = Scene(t, files=FILES, announce=None)
        self.a = Home(t, 11, **(seed_home or {}))
        self.b = Home(t, 12, **(leech_home or {}))
        self.has = t.folder("has")
        self.path = os.path.join(self.scene.path, "b.bin")
        copy = os.path.join(t.folder("has", "data"), "b.bin")
        with open(self.path, "rb") as src:
            sample.write_file(copy, src.read())
        self.result = os.path.join(self.scene.target, "data", "b.bin")

    # The three parts, by btget.

    def words(self, folder, port, which, *args):
        return [*ONLINE, "-vv", "-d", folder, "-p", port, "-f", which,
                *args, self.scene.file]

    def relay(self, *args):
        one = self.t.btget(*self.words(self.t.folder("relay"), RELAY_PORT,
                                       THEIRS, *args), plain=True)
        wait_for(lambda: harness.accepts("0.0.0.0", RELAY_PORT), 20,
                 "the relay", alive=[one])
        return one

    def seed(self, *args, hears=False):
        """If it hears of nobody, it calls nobody unless it is told to."""
        one = self.a.btget(*self.words(
            self.has, PORT, OURS, *([] if hears else ["--no-pex"]),
            "--seed-time", "1h", "-P", RELAY_AT, *args))
        wait_for(lambda: "connected" in one.err(), 30,
                 "the seed to meet the relay", alive=[one])
        return one

    def leech(self, *args):
        return self.b.btget(*self.words(self.scene.target, PORT, OURS, "-P",
                                        RELAY_AT, *args))

    # And by libtorrent, without TCP: it knows a peer by where its packets
    # come from alone.

    def libtorrent(self, home, folder, which, *args, by="--utp"):
        host, port, enter = (home.host, PORT, home.enter()) if home else \
            (RELAY, RELAY_PORT, [])
        return self.t.spawn([
            *enter, sample.SYSTEM_PYTHON,
            os.path.join(harness.HERE, "lt_client.py"), "run", by,
            "--only", which - 1, "--persistent", "--dir", folder, "--host",
            host, "--port", port, *args, self.scene.file], name="libtorrent")

    def lt_relay(self, by="--utp"):
        one = self.libtorrent(None, self.t.folder("relay"), THEIRS, by=by)
        wait_for(lambda: '"state": "downloading"' in one.out(), 30,
                 "the relay", alive=[one])
        return one

    def lt_seed(self):
        one = self.libtorrent(self.a, self.has, OURS, "--peer", RELAY_AT,
                              "--no-pex")
        wait_for(lambda: '"peers": 1' in one.out() and
                 '"state": "finished"' in one.out(), 30,
                 "libtorrent to meet the relay", alive=[one])
        return one

    def lt_leech(self):
        return self.libtorrent(self.b, self.scene.target, OURS, "--peer",
                               RELAY_AT)

    # What is to come of it.

    def check(self):
        sample.assert_same(self.path, self.result)

    def wait_for_copy(self, *alive):
        def same():
            try:
                self.check()
            except (AssertionError, OSError):
                return False
            return True
        wait_for(same, 90, "a copy", alive=alive)


def assert_called(*both):
    """Whoever is told first may be there before the other one hears of it."""
    said = "".join(one.err() for one in both)
    assert SAYS in said, said


@test(deadline=90, needs=nat.NEEDS, quick=True)
def test_two_behind_routers_meet(t):
    three = Three(t)
    relay, seed = three.relay(), three.seed()
    leech = three.leech().expect(0, 80)
    three.check()
    assert "are told" in relay.err(), relay.err()
    assert "asked to bring us together with %s:%d" % (
        three.a.outside, PORT) in leech.err(), leech.err()
    assert_called(leech, seed)


@test(deadline=90, needs=nat.NEEDS)
def test_they_do_not_meet_without_a_relay_that_knows_how(t):
    """All is the same, but the one in the middle does without uTP."""
    three = Three(t)
    three.relay("--no-utp")
    three.seed()
    leech = three.leech("--stall-timeout", "30s").expect(6, 80)
    assert "cannot connect to %s:%d" % (three.a.outside, PORT) in leech.err()
    assert SAYS not in leech.err(), leech.err()


@test(deadline=90, needs=nat.NEEDS)
def test_they_do_not_meet_without_utp(t):
    three = Three(t)
    three.relay()
    three.seed()
    leech = three.leech("--no-utp", "--stall-timeout", "30s").expect(6, 80)
    assert SAYS not in leech.err(), leech.err()


@test(deadline=90, needs=nat.NEEDS)
def test_the_port_that_a_router_has_opened_counts(t):
    """The seed's packets come from another port than it listens on, which
    is all that peer exchange knows of; the relay knows better."""
    three = Three(t, seed_home={"tcp": False, "port": 40001})
    three.relay()
    three.seed()
    leech = three.leech().expect(0, 80)
    three.check()
    assert "%s:40001 is called" % three.a.outside in leech.err(), leech.err()


@test(deadline=90, needs=nat.NEEDS)
def test_who_dials_the_other_anyway_meets_it_too(t):
    """Both hear of each other, and try TCP for ten seconds a time: a word to
    connect mostly comes while they do."""
    three = Three(t, {"silent": True}, {"silent": True})
    three.relay()
    three.seed(hears=True)
    three.leech().expect(0, 80)
    three.check()


@test(deadline=90, needs=nat.NEEDS)
def test_encrypted_ones_meet(t):
    three = Three(t)
    three.relay()
    three.seed("--encryption=require")
    three.leech("--encryption=require").expect(0, 80)
    three.check()


@test(deadline=120, needs=nat.NEEDS + clients.NEEDS["libtorrent"])
def test_libtorrent_brings_us_together(t):
    three = Three(t)
    three.lt_relay()
    seed = three.seed()
    leech = three.leech().expect(0, 100)
    three.check()
    assert_called(leech, seed)


@test(deadline=120, needs=nat.NEEDS + clients.NEEDS["libtorrent"])
def test_a_relay_that_we_reached_by_tcp_is_called_by_utp(t):
    """libtorrent as a relay passes on the port of our connection with it."""
    three = Three(t)
    three.lt_relay(by="--both")
    three.lt_seed()
    leech = three.leech().expect(0, 110)
    three.check()
    assert "is to be reached by uTP" in leech.err(), leech.err()
    assert_called(leech)


@test(deadline=120, needs=nat.NEEDS + clients.NEEDS["libtorrent"])
def test_we_ask_for_libtorrent(t):
    three = Three(t)
    relay = three.relay()
    three.lt_seed()
    leech = three.leech().expect(0, 100)
    three.check()
    assert "are told" in relay.err(), relay.err()
    assert SAYS in leech.err(), leech.err()


@test(deadline=120, needs=nat.NEEDS + clients.NEEDS["libtorrent"])
def test_libtorrent_asks_for_us(t):
    three = Three(t)
    relay, seed = three.relay(), three.seed()
    theirs = three.lt_leech()
    three.wait_for_copy(relay, seed, theirs)
    assert "are told" in relay.err(), relay.err()
    assert SAYS in seed.err(), seed.err()


# ---- scripted ones

OWN_ID = 9      # their number for these messages
RENDEZVOUS, CONNECT, ERROR = range(3)
NO_SUCH_PEER, NOT_CONNECTED, NO_SUPPORT = 1, 2, 3


def packed(kind, host, port, error=0):
    return struct.pack(">BB4sHI", kind, 0, socket.inet_aton(host), port,
                       error)


def unpacked(data):
    kind, _, host, port, error = struct.unpack(">BB4sHI", data)
    return kind, socket.inet_ntoa(host), port, error


def talker(action, port, knows=True):
    """A script: shakes hands, and then action(conn, say), where say sends
    such a message, to the number that btget gave."""
    def script(one, conn):
        conn.handshake(reserved=peer.EXTENSIONS)
        conn.send(peer.HAVE_NONE)
        names = {"ut_holepunch": OWN_ID} if knows else {}
        conn.write(peer.extended(0, sample.bencode({"m": names, "p": port})))
        kind, payload = conn.message()
        while kind != peer.EXTENDED or payload[0] != 0:
            kind, payload = conn.message()
        number = sample.bdecode(payload[1:])[b"m"][b"ut_holepunch"]
        one.acted.set()
        action(conn, lambda *what: conn.write(peer.extended(
            number, packed(*what))))
    return script


def hear(conn):
    """The next such message for us."""
    while True:
        kind, payload = conn.message()
        if kind == peer.EXTENDED and payload[0] == OWN_ID:
            return unpacked(payload[1:])


def just_there(conn, _say):
    conn.wait_end()


def start_seed(t):
    scene = Scene(t, size=MIB, announce=None)
    return scene, t.seed(scene.file, scene.source, *ONLINE, "-vv", plain=True)


def join(t, scene, us, host, script, **more):
    one = peer.Dialer(t, scene.torrent, ("127.0.0.1", us.port), script,
                      host=host, **more)
    wait_for(one.acted.is_set, 20, "a handshake", alive=[us])
    return one


@test(quick=True)
def test_a_rendezvous_is_granted_or_refused_with_the_right_word(t):
    scene, us = start_seed(t)
    knows, ignorant, own = ("127.0.0.3", 7003), ("127.0.0.4", 7004), \
        ("127.0.0.2", 7002)
    told, said = [], []

    def listen(conn, _say):
        told.append(hear(conn))
        conn.wait_end()

    def ask(conn, say):
        for host, port in (("127.0.0.7", 7007), (knows[0], 0), own, ignorant,
                           knows):
            say(RENDEZVOUS, host, port)
            said.append(hear(conn))
        conn.wait_end()

    join(t, scene, us, knows[0], talker(listen, knows[1]))
    join(t, scene, us, ignorant[0], talker(just_there, ignorant[1], False))
    # What they said of themselves has been read before who asks comes.
    wait_for(lambda: us.err().count(": is ") == 2, 20, "two handshakes",
             alive=[us])
    join(t, scene, us, own[0], talker(ask, own[1]))
    wait_for(lambda: len(said) == 5 and told, 20, "the answers", alive=[us])
    assert said == [
        (ERROR, "127.0.0.7", 7007, NOT_CONNECTED),
        (ERROR, knows[0], 0, NO_SUCH_PEER),
        (ERROR, *own, NO_SUCH_PEER),
        (ERROR, *ignorant, NO_SUPPORT),
        (CONNECT, *knows, 0)], said
    assert told == [(CONNECT, *own, 0)], told


@test(deadline=60, needs=("namespaces", "ip"))
def test_relays_cannot_have_us_flood_somebody(t):
    """Six say it thousands of times, of one host. What comes is a few packets
    of uTP a second, and not one of TCP."""
    victim = "127.0.0.99"
    scene, us = start_seed(t)
    watch = Watch(t, "lo")
    begun = time.monotonic()
    ended = []

    def flood_from(first):
        def flood(conn, say):
            # In one go: packets are counted, and few are to be ours.
            write, held = conn.write, []
            conn.write = held.append
            for port in range(first, first + 2000):
                say(CONNECT, victim, port)
            conn.write = write
            conn.write(b"".join(held))
            ended.append(conn)
            conn.wait_end()
        return flood

    for number in range(2, 8):
        join(t, scene, us, "127.0.0.%d" % number,
             talker(flood_from(number * 2000), 7000))
    wait_for(lambda: len(ended) == 6, 30, "six floods", alive=[us])
    time.sleep(5)       # a second SYN follows 1 s later, the end 3 s later
    took = time.monotonic() - begun
    sent = watch.sent(to=victim)
    calls = 20 + 5 * took
    note("%d packets in %.1f s, for 12,000 orders" % (len(sent), took))
    assert {packet.kind for packet in sent} == {"udp"}, sent[:5]
    # Each call is two packets, to a host that does not answer.
    assert 40 <= len(sent) <= 2 * calls + 2, len(sent)
    assert us.running()


@test(deadline=60, needs=("namespaces", "ip"))
def test_no_stranger_leads_us_to_our_own_network(t):
    far, farther, near = "198.51.100.7", "198.51.100.8", "10.77.0.5"
    for one in (far, farther):
        ip("addr", "add", one + "/32", "dev", "lo")
    scene, us = start_seed(t)
    watch = Watch(t, "lo")

    def lead(conn, say):
        say(CONNECT, "127.0.0.99", 7099)
        say(CONNECT, near, 7005)
        say(CONNECT, farther, 7008)
        conn.wait_end()

    join(t, scene, us, far, talker(lead, 7007))
    wait_for(lambda: watch.sent(to=farther), 20, "a call", alive=[us])
    for inside in ("127.0.0.99", near):
        assert not watch.sent(to=inside), watch.sent(to=inside)


@test(quick=True)
def test_a_blocked_address_is_not_called(t):
    blocked = "127.0.0.99"
    listening = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                 for _ in range(2)]
    for one, host in zip(listening, (blocked, "127.0.0.98")):
        one.bind((host, 0))
        one.settimeout(10 * harness.SLOW)
    names = [one.getsockname() for one in listening]
    scene = Scene(t, size=MIB, announce=None)
    rules = sample.write_file(t.path("rules"), b"127.0.0.99/32\n")
    us = t.seed(scene.file, scene.source, *ONLINE, "-vv", "--blocklist",
                rules, plain=True)

    def lead(conn, say):
        for host, port in names:
            say(CONNECT, host, port)
        conn.wait_end()

    join(t, scene, us, "127.0.0.2", talker(lead, 7002))
    assert listening[1].recv(100)
    listening[0].settimeout(0.5)
    with contextlib.suppress(TimeoutError):
        raise AssertionError("%r" % listening[0].recv(100))
