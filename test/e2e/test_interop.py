"""Goal: what the clients of others can do beside moving data works with us,
both ways: pieces of 16 MiB and of odd sizes, partial seeds, and finding each
other by peer exchange, the DHT and local discovery."""
import json
import os
import socket
import struct
import subprocess

import clients
import harness
import sample
from harness import OFFLINE, free_port, test, wait_for
from swarm import MIB, Scene
from test_clients import same
from test_lsd import start_far, wire

# Each on an address of its own: many take one connection of an address.
TRACKER, OURS, OTHER, THEIRS, AGAIN = harness.LOCAL[:5]


def needs(name):
    return tuple(set(clients.NEEDS[name]) | {"namespaces"})


def online(word):
    return [one for one in OFFLINE if one != word]


def start(t, name, scene, folder, host, *more, **settings):
    one = clients.STARTERS[name](t, scene.file, folder, host, *more,
                                 **settings)
    scene.tracker.static.append((host, one.port))
    return one


# ---- shapes

def through(name, size, piece_length):
    """From one of them to us, and from us to the next one."""
    @test(deadline=150, needs=needs(name))
    def run(t):
        scene = Scene(t, size, piece_length=piece_length, host=TRACKER)
        first = start(t, name, scene, scene.source, THEIRS)
        ours = scene.start("--seed-time", "1h")
        wait_for(lambda: same(scene.path, scene.result), 80, "our copy",
                 alive=[first.proc, ours])
        first.proc.kill_group()
        target = t.folder("theirs")
        second = start(t, name, scene, target, AGAIN)
        wait_for(lambda: same(scene.path, os.path.join(target, "data.bin")),
                 80, "their copy", alive=[ours, second.proc])
    return run


def huge(name):
    return through(name, 20 * MIB + 1, 16 * MIB)


def odd(name):
    return through(name, 3 * MIB + 5, 50001)


test_huge_pieces_with_libtorrent = huge("libtorrent")
test_huge_pieces_with_aria2 = huge("aria2")
test_huge_pieces_with_transmission = huge("transmission")
test_huge_pieces_with_rtorrent = huge("rtorrent")
test_huge_pieces_with_ctorrent = huge("ctorrent")
# Transmission takes no pieces that blocks do not divide.
test_odd_pieces_with_libtorrent = odd("libtorrent")
test_odd_pieces_with_aria2 = odd("aria2")
test_odd_pieces_with_rtorrent = odd("rtorrent")
test_odd_pieces_with_ctorrent = odd("ctorrent")


# ---- partial seeds

def partial_seed_to(name):
    """They take from one of us what is there, and the rest of another."""
    @test(deadline=150, needs=needs(name))
    def run(t):
        scene = Scene(t, host=TRACKER, files=[
            ("a", MIB + 5), ("b", 2 * MIB + 7), ("c", 100)])
        seed = t.seed(scene.file, scene.source)
        scene.download("-f", "2")
        seed.signal(15)
        seed.expect(143)
        part = t.seed(scene.file, scene.target, "-f", "2", "-v")
        target = t.folder("theirs")
        one = start(t, name, scene, target, THEIRS)
        wait_for(lambda: space(target) >= 2 * MIB, 60, "the part",
                 alive=[part, one.proc])
        seed = t.seed(scene.file, scene.source, "-i", OTHER, host=OTHER)
        wait_for(lambda: same(scene.path, os.path.join(target, "data"),
                              name in clients.NO_EMPTY), 80, "their copy",
                 alive=[part, seed, one.proc])
    return run


def space(folder):
    return sum(os.stat(os.path.join(folder, "data", name)).st_blocks * 512
               for name in sample.list_tree(os.path.join(folder, "data")))


test_partial_seed_to_libtorrent = partial_seed_to("libtorrent")
test_partial_seed_to_aria2 = partial_seed_to("aria2")
test_partial_seed_to_transmission = partial_seed_to("transmission")
test_partial_seed_to_rtorrent = partial_seed_to("rtorrent")
test_partial_seed_to_ctorrent = partial_seed_to("ctorrent")


# ---- peer exchange

PEX = {
    "aria2": ((), "--enable-peer-exchange=true"),
    "transmission": ({"pex_enabled": True},),
    "rtorrent": ((), "protocol.pex.set=yes"),
}


def start_pex(t, name, scene, host):
    settings, *more = PEX[name]
    return start(t, name, scene, t.folder("theirs"), host, *more,
                 **dict(settings))


def told_of(where):
    """A tracker that tells all but us of one peer."""
    told = socket.inet_aton(where[0]) + struct.pack(">H", where[1])

    def script(_request, announce):
        return sample.bencode({
            "interval": 5,
            "peers": b"" if announce.peer_id.startswith(b"-bg") else told})
    return script


def silent(t, scene):
    """The scene's torrent without its tracker."""
    return sample.make_torrent(scene.path).save(t.path("quiet.torrent"))


def tell(name):
    """A seed that hears of nobody is called by one of theirs, who knows
    nobody but the third."""
    @test(deadline=150, needs=needs(name))
    def run(t):
        port = free_port(OURS)
        scene = Scene(t, 4 * MIB, host=TRACKER, script=told_of((OURS, port)))
        quiet = silent(t, scene)
        middle = t.btget(*online("--no-pex"), "-d", scene.target, "-p", port,
                         "--down-limit", "30K", "--up-limit", "20K", quiet,
                         plain=True)
        seed = t.seed(quiet, scene.source, "-v", "-P", "%s:%d" % (OURS, port),
                      host=OTHER)
        wait_for(lambda: "(manual): connected" in seed.err(), 40,
                 "the two to meet", alive=[middle, seed])
        one = start_pex(t, name, scene, THEIRS)
        wait_for(lambda: ": came in" in seed.err(), 120, "a call",
                 alive=[middle, seed, one.proc])
    return run


def be_told(name):
    @test(deadline=150, needs=needs(name))
    def run(t):
        port = free_port(OTHER)
        scene = Scene(t, 8 * MIB, host=TRACKER, script=told_of((OTHER, port)))
        quiet = silent(t, scene)
        seed = t.btget("-d", scene.source, "-p", port, "--seed-time", "1h",
                       "--up-limit", "50K", "-v", quiet)
        middle = start_pex(t, name, scene, THEIRS)
        wait_for(lambda: ": came in" in seed.err(), 40, "the two to meet",
                 alive=[seed, middle.proc])
        one = t.btget(*online("--no-pex"), "-v", "-d", scene.target, "-p",
                      "0", "-P", "%s:%d" % (THEIRS, middle.port), quiet,
                      plain=True)
        wait_for(lambda: "%s:%d (pex)" % (OTHER, port) in one.err(), 120,
                 "a call", alive=[seed, middle.proc, one])
    return run


test_we_tell_aria2 = tell("aria2")
test_we_tell_transmission = tell("transmission")
test_we_tell_rtorrent = tell("rtorrent")
test_aria2_tells_us = be_told("aria2")
test_transmission_tells_us = be_told("transmission")


# ---- the DHT

class Nodes:
    """libtorrent's nodes, outside 127/8."""

    def __init__(self, t, count=12):
        self.at = (TRACKER, free_port(TRACKER))
        self.where = "%s:%d" % self.at
        self.proc = t.spawn([
            sample.SYSTEM_PYTHON, os.path.join(harness.HERE, "lt_client.py"),
            "nodes", "--host", TRACKER, "--port", self.at[1], "--count",
            count], name="nodes")
        self.wait("nodes", count // 2)

    def wait(self, what, least, *alive):
        def enough():
            lines = self.proc.out().splitlines()
            return lines and json.loads(lines[-1])[what] >= least
        wait_for(enough, 100, "%d %s" % (least, what),
                 alive=[self.proc, *alive])


def start_dht(t, name, scene, folder, nodes):
    if name == "transmission":
        return start(t, name, scene, folder, THEIRS, node=nodes.at)
    port = free_port(THEIRS)
    return start(t, name, scene, folder, THEIRS, *{
        "aria2": ("--enable-dht=true", "--dht-listen-port=%d" % port,
                  "--dht-file-path=" + t.path("dht.dat"),
                  "--dht-entry-point=" + nodes.where),
        "rtorrent": ("dht.mode.set=on", "dht.port.set=%d" % port,
                     "schedule2=add,1,10,dht.add_node=" + nodes.where),
    }[name])


def dht_find(name):
    @test(deadline=180, needs=needs(name) + ("libtorrent",))
    def run(t):
        scene = Scene(t, MIB, host=TRACKER, announce=None)
        nodes = Nodes(t)
        one = start_dht(t, name, scene, scene.source, nodes)
        nodes.wait("peers", 1, one.proc)
        got = t.btget(*online("--no-dht"), "-v", "-d", scene.target, "-p",
                      "0", "--dht-node", nodes.where, scene.file,
                      plain=True).expect(0, 60)
        scene.check()
        assert "(dht): connected" in got.err(), got.err()
    return run


def dht_be_found(name):
    @test(deadline=180, needs=needs(name) + ("libtorrent",))
    def run(t):
        scene = Scene(t, MIB, host=TRACKER, announce=None)
        nodes = Nodes(t)
        seed = t.btget(*online("--no-dht"), "-d", scene.source, "-p",
                       free_port("0.0.0.0"), "--dht-node", nodes.where,
                       "--seed-time", "1h", scene.file, plain=True)
        nodes.wait("peers", 1, seed)
        target = t.folder("theirs")
        one = start_dht(t, name, scene, target, nodes)
        wait_for(lambda: same(scene.path, os.path.join(target, "data.bin")),
                 120, "their copy", alive=[seed, one.proc])
    return run


test_dht_find_aria2 = dht_find("aria2")
test_dht_find_transmission = dht_find("transmission")
test_dht_find_rtorrent = dht_find("rtorrent")
test_dht_be_found_by_aria2 = dht_be_found("aria2")
test_dht_be_found_by_transmission = dht_be_found("transmission")
test_dht_be_found_by_rtorrent = dht_be_found("rtorrent")


# ---- local discovery

NEAR = "10.99.0.1"


def start_lsd(t, name, scene, folder):
    # Transmission asks the routing table which way a group lies.
    subprocess.run(["ip", "route", "add", "239.0.0.0/8", "dev", "near0"],
                   check=True)
    if name == "transmission":
        return start(t, name, scene, folder, NEAR, lpd_enabled=True)
    return start(t, name, scene, folder, NEAR, "--bt-enable-lpd=true",
                 "--bt-lpd-interface=" + NEAR)


def lsd_find(name):
    @test(deadline=120, needs=needs(name) + ("nsenter",))
    def run(t):
        far = wire(t, 4)
        scene = Scene(t, MIB, announce=None)
        one = start_lsd(t, name, scene, scene.source)
        got = start_far(t, far, "-v", "-d", scene.target, "-p", 7001,
                        scene.file)
        wait_for(lambda: not got.running(), 100, "our copy",
                 alive=[one.proc])
        got.expect(0)
        scene.check()
    return run


def lsd_be_found(name):
    @test(deadline=120, needs=needs(name) + ("nsenter",))
    def run(t):
        far = wire(t, 4)
        scene = Scene(t, MIB, announce=None)
        seed = start_far(t, far, "-d", scene.source, "-p", 7001,
                         "--seed-time", "1h", scene.file)
        target = t.folder("theirs")
        one = start_lsd(t, name, scene, target)
        wait_for(lambda: same(scene.path, os.path.join(target, "data.bin")),
                 100, "their copy", alive=[seed, one.proc])
    return run


test_lsd_find_aria2 = lsd_find("aria2")
test_lsd_find_transmission = lsd_find("transmission")
test_lsd_be_found_by_aria2 = lsd_be_found("aria2")
test_lsd_be_found_by_transmission = lsd_be_found("transmission")
