"""Goal: torrents without a tracker find their peers through the DHT, whose
nodes are libtorrent's or our own; a private torrent never says a word there,
and neither does one that has nothing to look for."""
import json
import os
import select
import socket

import clients
import harness
import sample
from harness import OFFLINE, free_port, test, wait_for
from swarm import MIB, Scene

ONLINE = [one for one in OFFLINE if one != "--no-dht"]


class Silence:
    """A node that answers nothing, and tells whether it heard anything."""

    def __init__(self, t):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.where = "127.0.0.1:%d" % self.socket.getsockname()[1]
        t.at_end.append(self.socket.close)

    def heard(self, seconds=0.0):
        return bool(select.select([self.socket], [], [], seconds)[0])


class Nodes:
    """libtorrent's nodes, which know each other; .where is the first."""

    def __init__(self, t, count=12):
        port = free_port()
        self.where = "127.0.0.1:%d" % port
        self.proc = t.spawn([sample.SYSTEM_PYTHON,
                             os.path.join(harness.HERE, "lt_client.py"),
                             "nodes", "--port", port, "--count", count],
                            name="nodes")
        self.wait("nodes", count // 2)

    def wait(self, what, least):
        def enough():
            lines = self.proc.out().splitlines()
            return lines and json.loads(lines[-1])[what] >= least
        wait_for(enough, 40, "%d %s" % (least, what), alive=[self.proc])


def start(t, scene, folder, node, *args, what=None):
    port = free_port()
    one = t.btget(*ONLINE, "-v", "-d", folder, "-p", port, "--dht-node", node,
                  *args, what or scene.file, plain=True)
    one.port = port
    return one


def trackerless(t, size=2 * MIB, **more):
    return Scene(t, size=size, announce=None, **more)


@test(deadline=120, needs=clients.NEEDS["libtorrent"])
def test_libtorrent_seeds_and_we_find_it(t):
    scene = trackerless(t)
    nodes = Nodes(t)
    clients.start_libtorrent(t, scene.file, scene.source, "127.0.0.1",
                             "--dht-node", nodes.where, "--passive")
    nodes.wait("peers", 1)
    one = start(t, scene, scene.target, nodes.where).expect(0, 60)
    scene.check()
    assert "(dht): connected" in one.err(), one.err()


@test(deadline=120, needs=clients.NEEDS["libtorrent"])
def test_we_seed_and_libtorrent_finds_us(t):
    scene = trackerless(t)
    nodes = Nodes(t)
    seed = start(t, scene, scene.source, nodes.where, "--seed-time", "1h")
    nodes.wait("peers", 1)
    other = clients.start_libtorrent(t, scene.file, scene.target, "127.0.0.1",
                                     "--dht-node", nodes.where)
    wait_for(lambda: '"seeding": true' in other.proc.out(), 90,
             "libtorrent's download", alive=[seed, other.proc])
    scene.check()


@test(deadline=90, quick=True)
def test_two_of_us_are_a_network(t):
    scene = trackerless(t)
    silence = Silence(t)
    seed = start(t, scene, scene.source, silence.where, "--seed-time", "1h",
                 "--up-limit", "2M")
    wait_for(silence.heard, 20, "a question to the node", alive=[seed])
    one = start(t, scene, scene.target, "127.0.0.1:%d" % seed.port, "-vv")
    one.expect(0, 60)
    scene.check()
    assert "DHT: there are nodes that answer" in one.err(), one.err()
    assert "new peers by the DHT: 1" in one.err(), one.err()


@test(deadline=60, needs="namespaces")
def test_a_torrents_own_nodes_are_a_way_in(t):
    """Nothing leads to the public routers from here."""
    scene = trackerless(t)
    seed = start(t, scene, scene.source, "127.0.0.1:9", "--seed-time", "1h")
    meta = dict(scene.torrent.meta)
    meta[b"nodes"] = [[b"127.0.0.1", seed.port]]
    scene.torrent = sample.Torrent(sample.bencode(meta))
    t.btget(*ONLINE, "-d", scene.target, "-p", 0,
            scene.torrent.save(t.path("with-nodes.torrent")),
            plain=True).expect(0, 50)
    scene.check()


@test(deadline=90, needs="namespaces")
def test_ipv6_is_a_network_of_its_own(t):
    """The names of the nodes lead to IPv6 alone, and so the peers do."""
    scene = trackerless(t)
    seed = start(t, scene, scene.source, "[::1]:9", "--seed-time", "1h")
    one = start(t, scene, scene.target, "[::1]:%d" % seed.port).expect(0, 60)
    scene.check()
    assert "[::1]:" in one.err() + seed.err()


@test(deadline=90)
def test_a_bare_hash_is_enough(t):
    scene = trackerless(t)
    seed = start(t, scene, scene.source, "127.0.0.1:9", "--seed-time", "1h")
    start(t, scene, scene.target, "127.0.0.1:%d" % seed.port,
          what=scene.torrent.hex).expect(0, 60)
    scene.check()


@test(deadline=90)
def test_nodes_of_the_last_run_are_a_way_in(t):
    scene = trackerless(t)
    seed = start(t, scene, scene.source, "127.0.0.1:9", "--seed-time", "1h")
    start(t, scene, t.folder("first"), "127.0.0.1:%d" % seed.port).expect(
        0, 60)
    cache = os.path.join(t.env["XDG_CACHE_HOME"], "btget", "dht.dat")
    assert os.path.exists(cache), "no nodes were saved"
    start(t, scene, scene.target, "127.0.0.1:9").expect(0, 60)
    scene.check()


def without_a_home(**instead):
    @test(deadline=60, quick=True)
    def run(t):
        scene = trackerless(t)
        seed = start(t, scene, scene.source, "127.0.0.1:9", "--seed-time",
                     "1h")
        env = {k: v for k, v in t.env.items()
               if k not in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")}
        env.update({k: t.path(v) for k, v in instead.items()})
        t.btget(*ONLINE, "-d", scene.target, "-p", 0, "--dht-node",
                "127.0.0.1:%d" % seed.port, scene.file, plain=True,
                env=env).expect(0, 50)
        scene.check()
        assert not os.path.exists(t.path("none"))
    return run


test_without_a_home_it_works_too = without_a_home()
test_a_home_that_is_not_there_is_not_made = without_a_home(HOME="none")


@test(deadline=60)
def test_private_torrents_are_silent(t):
    """The seed is known by -P alone, and says in its handshake that it has
    no node either."""
    scene = trackerless(t, info={"private": 1})
    silence = Silence(t)
    seed = start(t, scene, scene.source, silence.where, "--seed-time", "1h")
    wait_for(lambda: "seeding" in seed.out(), 30, "the seed", alive=[seed])
    start(t, scene, scene.target, silence.where, "-P",
          "127.0.0.1:%d" % seed.port).expect(0, 40)
    scene.check()
    assert not silence.heard(1), "a private torrent asked the DHT"


@test(deadline=60)
def test_a_finished_torrent_asks_nobody(t):
    scene = trackerless(t)
    silence = Silence(t)
    seed = scene.seed()
    t.run_btget("-d", scene.target, "-p", 0, "-P", "%s:%d" % seed.where,
                scene.file)
    start(t, scene, scene.target, silence.where).expect(0, 20)
    assert not silence.heard(0.5), "a finished torrent asked the DHT"
    # And without the cause for silence it would have been heard.
    start(t, scene, t.folder("other"), silence.where, "--deadline",
          "3s").expect(5, 20)
    assert silence.heard(), "the test is deaf"


@test(deadline=60)
def test_garbage_does_no_harm(t):
    """A node that answers each packet with all kinds of wrong ones."""
    scene = trackerless(t)
    liar = Silence(t)
    one = start(t, scene, scene.target, liar.where, "--deadline", "8s")
    wait_for(liar.heard, 20, "a question", alive=[one])
    for number in range(2000):
        if not liar.heard(0.02):
            continue
        data, where = liar.socket.recvfrom(2048)
        for answer in (b"", b"d", b"i1e", data, data[:-1], b"x" * 1400,
                       b"d1:rd2:id20:" + bytes(20) + b"e1:t4:" +
                       os.urandom(4) + b"1:y1:re",
                       data.replace(b"1:y1:qe", b"1:y1:re")):
            liar.socket.sendto(answer, where)
        if number > 20:
            break
    one.expect(5, 30)
