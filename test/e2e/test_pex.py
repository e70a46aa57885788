"""Goal: peers hear of each other through a third one, btget and libtorrent
alike, over IPv4 and IPv6; and never for a private torrent."""
import struct

import clients
import peer
import sample
from harness import OFFLINE, free_port, test, wait_for
from swarm import MIB, Scene

ONLINE = [one for one in OFFLINE if one != "--no-pex"]


def leech(t, scene, folder, *args):
    """A btget that is slow enough to be there when the others come."""
    port = free_port()
    one = t.btget(*ONLINE, "-v", "-d", folder, "-p", port, "--down-limit",
                  "100K", *args, scene.file, plain=True)
    one.port = port
    return one


def start_hub(t, scene, *args):
    """A slow seed in the middle."""
    port = free_port()
    hub = t.btget(*ONLINE, "-v", "-d", scene.source, "-p", port,
                  "--seed-time", "1h", "--up-limit", "200K", *args,
                  scene.file, plain=True)
    hub.port = port
    wait_for(lambda: "seeding" in hub.out(), 30, "the seed", alive=[hub])
    return hub


def start_three(t, *args, host="127.0.0.1", **more):
    """One in the middle and two that know nobody else."""
    scene = Scene(t, size=2 * MIB, announce=None, **more)
    hub = start_hub(t, scene, *args)
    both = [leech(t, scene, t.folder(name), "-P", "%s:%d" % (host, hub.port),
                  *args) for name in ("one", "two")]
    return hub, both


def met(both):
    return any(":%d" % b.port in a.err() for a in both for b in both
               if a is not b)


@test(deadline=90)
def test_two_meet_through_a_third(t):
    hub, both = start_three(t)
    wait_for(lambda: met(both), 60, "the two to meet", alive=[hub] + both)


@test(deadline=90, needs="namespaces")
def test_two_meet_over_ipv6(t):
    hub, both = start_three(t, host="[::1]")
    wait_for(lambda: met(both), 60, "the two to meet", alive=[hub] + both)
    assert "[::1]:%d (pex)" % both[0].port in both[1].err() or \
        "[::1]:%d (pex)" % both[1].port in both[0].err()


@test(deadline=120, needs=clients.NEEDS["libtorrent"])
def test_we_tell_libtorrent(t):
    """Two of them meet, who know nobody but us."""
    scene = Scene(t, size=8 * MIB, announce=None)
    hub = start_hub(t, scene)
    both = [clients.start_libtorrent(t, scene.file, t.folder(name),
                                     "127.0.0.1", "--peer",
                                     "127.0.0.1:%d" % hub.port)
            for name in ("one", "two")]
    wait_for(lambda: any('"by_pex": 1' in one.proc.out() for one in both),
             90, "the two to meet", alive=[hub] + [b.proc for b in both])


@test(deadline=60)
def test_who_is_encrypted_is_told_as_such(t):
    scene = Scene(t, size=2 * MIB, announce=None)
    hub = start_hub(t, scene)
    ways = {"prefer": 1, "off": 0}
    leeches = {way: leech(t, scene, t.folder(way), "-P", "127.0.0.1:%d" %
                          hub.port, "--encryption", way) for way in ways}
    wait_for(lambda: hub.err().count(": came in") == 2, 20, "two leeches",
             alive=[hub, *leeches.values()])
    told = {}

    def listen(_one, conn):
        conn.handshake(reserved=peer.EXTENSIONS)
        conn.send(peer.HAVE_NONE)
        conn.write(peer.extended(0, sample.bencode({"m": {"ut_pex": 5}})))
        kind, payload = conn.message()
        while kind != peer.EXTENDED or payload[0] != 5:
            kind, payload = conn.message()
        said = sample.bdecode(payload[1:])
        for i, flags in enumerate(said[b"added.f"]):
            port, = struct.unpack(">H", said[b"added"][6 * i + 4:6 * i + 6])
            told[port] = flags
        conn.wait_end()

    peer.Dialer(t, scene.torrent, ("127.0.0.1", hub.port), listen)
    wait_for(lambda: len(told) == 2, 30, "a message", alive=[hub])
    assert {way: told[one.port] & 1 for way, one in leeches.items()} == \
        ways, told


@test(deadline=100)
def test_private_torrents_tell_nothing(t):
    hub, both = start_three(t, info={"private": 1})
    for one in both:
        one.expect(0, 80)
    assert not met(both)


@test(deadline=120, needs=clients.NEEDS["libtorrent"])
def test_libtorrent_tells_us(t):
    scene = Scene(t, size=4 * MIB, announce=None)
    middle = clients.start_libtorrent(t, scene.file, scene.source,
                                      "127.0.0.1", "--up-limit", "200000")
    wait_for(lambda: '"seeding": true' in middle.proc.out(), 30,
             "libtorrent to seed", alive=[middle.proc])
    both = [leech(t, scene, t.folder(name), "-P", "127.0.0.1:%d" %
                  middle.port) for name in ("one", "two")]
    wait_for(lambda: met(both), 90, "the two to meet",
             alive=[middle.proc] + both)
