"""Goal: a super-seed shows nothing but one piece after the other, sends
little more than one copy to a swarm that passes pieces on, gets along with
every other client, with a peer that is alone, with peers that pass nothing on
or leave, and seeds like any other once it is not needed any more."""
import contextlib
import os
import struct
import threading

import clients
import peer
import sample
from harness import SLOW, test, wait_for
from swarm import MIB, Scene
from test_clients import same


def super_seed(t, scene, *more):
    one = t.btget("-d", scene.source, "-p", "0", "--seed-time", "1h",
                  "--super-seed", *more, scene.file)
    wait_for(lambda: scene.tracker.seeders(scene.torrent), 30,
             "announce of the seed", alive=[one])
    return one


def sent(scene):
    """What the seed has told the tracker, in copies."""
    seed = scene.tracker.of(scene.torrent)[0].peer_id
    return max(a.uploaded for a in scene.tracker.of(scene.torrent)
               if a.peer_id == seed) / len(scene.content)


@test(deadline=90, quick=True)
def test_several_leeches(t):
    """Limited, so that who passes on decides, and not who is quick."""
    scene = Scene(t, 8 * MIB)
    seed = super_seed(t, scene, "--up-limit", "2M")
    targets = [t.path("target-%d" % i) for i in range(4)]
    runs = [t.btget("-d", target, "-p", "0", "--up-limit", "2M",
                    "--seed-time", "1h", scene.file) for target in targets]
    for target in targets:
        wait_for(lambda: same(scene.path, os.path.join(target, "data.bin")),
                 60, "complete copy", alive=[seed, *runs])
    seed.signal(15)
    seed.expect(143, 10)
    assert sent(scene) < 2, "%.2f copies for 4 leeches" % sent(scene)


@test(deadline=60, quick=True)
def test_one_leech_alone(t):
    scene = Scene(t, 4 * MIB)
    super_seed(t, scene)
    scene.download(seconds=40)
    scene.check()


class Watch:
    """A scripted leech: what it is shown, in order; it has what it takes.
    It asks for nothing before all have come who meet at the barrier: one that
    came after the others have it all would meet a seed like any other."""

    def __init__(self, reserved=peer.FAST, announce=True, most=None,
                 barrier=None):
        self.reserved = reserved
        self.barrier = barrier
        self.announce = announce
        self.most = most
        self.first = None
        self.shown = []
        self.got = set()

    def __call__(self, one, conn):
        conn.handshake(reserved=self.reserved)
        if self.reserved == peer.FAST:
            self.take(one, conn, *conn.message())
        if self.barrier:
            self.barrier.wait()
        conn.send(peer.INTERESTED)
        with contextlib.suppress(peer.Closed):
            while self.most is None or len(self.got) < self.most:
                self.take(one, conn, *conn.message())
        conn.sock.close()

    def take(self, one, conn, kind, payload):
        if self.first is None:
            self.first = kind
        assert kind not in (peer.BITFIELD, peer.HAVE_ALL), kind
        if kind == peer.HAVE:
            self.shown.append(struct.unpack(">I", payload)[0])
        if kind in (peer.HAVE, peer.UNCHOKE):
            self.ask(one, conn)
        if kind != peer.PIECE:
            return
        index, begin = struct.unpack(">II", payload[:8])
        assert one.block(index, begin, len(payload) - 8) == payload[8:]
        if begin + len(payload) - 8 == one.torrent.piece_size(index):
            self.got.add(index)
            if self.announce:
                conn.send(peer.HAVE, struct.pack(">I", index))

    def ask(self, one, conn):
        for index in self.shown:
            if index in self.got:
                continue
            size = one.torrent.piece_size(index)
            for begin in range(0, size, peer.BLOCK):
                conn.request(index, begin, min(peer.BLOCK, size - begin))


def dial(t, scene, seed, watch, host):
    note = scene.tracker.of(scene.torrent)[0]
    return peer.Dialer(t, scene.torrent, ("127.0.0.1", note.port), watch,
                       host=host, content=scene.content)


@test(quick=True)
def test_it_shows_nothing_at_first_and_then_pieces(t):
    scene = Scene(t, 1 * MIB)
    seed = super_seed(t, scene)
    barrier = threading.Barrier(2, timeout=20 * SLOW)
    fast = Watch(barrier=barrier)
    plain = Watch(reserved=peer.PLAIN, barrier=barrier)
    count = scene.torrent.piece_count
    dial(t, scene, seed, fast, "127.0.0.2")
    dial(t, scene, seed, plain, "127.0.0.3")
    # They announce what they have, but not to each other: together they
    # have all of it soon, and then it is a seed like any other.
    wait_for(lambda: len(set(fast.shown)) == count and
             len(set(plain.shown)) == count, 30, "all pieces", alive=[seed])
    assert fast.first == peer.HAVE_NONE, fast.first
    assert plain.first in (peer.HAVE, peer.UNCHOKE), plain.first


@test(deadline=60, quick=True)
def test_peers_that_pass_nothing_on_get_it_all_the_same(t):
    """They do not even announce to anyone what they have got."""
    scene = Scene(t, 1 * MIB)
    seed = super_seed(t, scene)
    barrier = threading.Barrier(2, timeout=20 * SLOW)
    watches = [Watch(barrier=barrier) for _ in range(2)]
    for i, watch in enumerate(watches):
        dial(t, scene, seed, watch, "127.0.0.%d" % (i + 2))
    count = scene.torrent.piece_count
    wait_for(lambda: all(len(w.got) == count for w in watches), 50,
             "all pieces", alive=[seed])


@test(deadline=60, quick=True)
def test_what_goes_with_a_peer_is_shown_again(t):
    scene = Scene(t, 2 * MIB)
    seed = super_seed(t, scene)
    leaver = Watch(most=3)
    dial(t, scene, seed, leaver, "127.0.0.2")
    wait_for(lambda: len(leaver.got) == 3, 20, "3 pieces", alive=[seed])
    scene.download(seconds=40)
    scene.check()


@test(deadline=60, quick=True)
def test_beside_another_seed_it_is_none(t):
    """It shows everything to who came before the other seed did."""
    scene = Scene(t, 1 * MIB)
    seed = super_seed(t, scene)
    mute = Watch(announce=False, most=1000)
    dial(t, scene, seed, mute, "127.0.0.2")
    wait_for(lambda: mute.shown, 20, "a first piece", alive=[seed])

    def complete(one, conn):
        conn.handshake(reserved=peer.FAST)
        conn.send(peer.HAVE_ALL)
        conn.wait_end()
    dial(t, scene, seed, complete, "127.0.0.3")
    wait_for(lambda: len(set(mute.shown)) == scene.torrent.piece_count, 20,
             "all pieces", alive=[seed])


def seed_to(name, **mark):
    @test(deadline=150, needs=clients.NEEDS[name], **mark)
    def run(t):
        scene = Scene(t, 4 * MIB, host=clients.host_for(name))
        seed = super_seed(t, scene)
        folders = [t.folder("other-%d" % i) for i in range(2)]
        them = [clients.start(t, name, scene, folder, number=i + 1)
                for i, folder in enumerate(folders)]
        for folder in folders:
            wait_for(lambda: same(scene.path,
                                  os.path.join(folder, "data.bin")), 120,
                     "complete copy",
                     alive=[seed, *[one.proc for one in them]])
    return run


@test(deadline=150, needs=clients.NEEDS["transmission"])
def test_one_transmission_alone(t):
    scene = Scene(t, 8 * MIB, host=clients.host_for("transmission"))
    seed = super_seed(t, scene)
    folder = t.folder("other")
    one = clients.start(t, "transmission", scene, folder)
    wait_for(lambda: same(scene.path, os.path.join(folder, "data.bin")), 60,
             "complete copy", alive=[seed, one.proc])


test_with_libtorrent = seed_to("libtorrent", quick=True)
test_with_aria2 = seed_to("aria2")
test_with_transmission = seed_to("transmission")
test_with_ctorrent = seed_to("ctorrent")


@test(quick=True)
def test_after_a_download_it_is_a_seed_like_any_other(t):
    scene = Scene(t, 1 * MIB)
    one = scene.seed()
    run = scene.start("--super-seed", "--seed-time", "1h")
    wait_for(lambda: same(scene.path, scene.result), 20, "the download",
             alive=[run])
    note = scene.tracker.of(scene.torrent)[0]
    first = []

    def look(_, conn):
        conn.handshake(reserved=peer.FAST)
        first.append(conn.message()[0])
        conn.wait_end()
    peer.Dialer(t, scene.torrent, ("127.0.0.1", note.port), look,
                host="127.0.0.5", content=scene.content)
    wait_for(lambda: first, 20, "the first word", alive=[run])
    assert first == [peer.HAVE_ALL], first
    assert sample.read_content(scene.result) == scene.content
    assert one.requests
