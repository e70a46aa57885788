"""Goal: all is as good where there is no IPv4: trackers, peers dialled and
taken in, magnet links, the DHT, web seeds, other clients; and with both, each
leads to data."""
import os
import subprocess
import time

import clients
import sample
import tracker
from harness import OFFLINE, accepts, free_port, test, wait_for
from swarm import MIB, Flag, Scene
from web import Nginx

HOST = "::1"
# Beside the loopback, which Transmission takes no peers from.
UNIQUE = "fd00:77::1"
NEEDS = ("namespaces", "ip")


def ip(*words):
    subprocess.run(["ip", *words], check=True, stdin=subprocess.DEVNULL)


def without_ipv4():
    """Takes every IPv4 address, the loopback's too."""
    ip("-4", "addr", "flush", "dev", "lo")


def start_tracker(t, host=HOST):
    """btget's own; returns its HTTP and UDP announce URLs."""
    port = free_port(host)
    proc = t.btget("tracker", "--bind", host, "--port", port, "--interval",
                   "1", "-v")
    wait_for(lambda: accepts(host, port), 10, "listening tracker",
             alive=[proc])
    return ("http://[%s]:%d/announce" % (host, port),
            "udp://[%s]:%d/announce" % (host, port), proc)


class Swarm:
    """A torrent of our own tracker, without a scripted one."""

    def __init__(self, t, announce=None, size=2 * MIB + 7, **more):
        self.t = t
        self.source = t.folder("source")
        self.path = sample.make_file(os.path.join(self.source, "data.bin"),
                                     size)
        self.torrent = sample.make_torrent(self.path, announce)
        self.file = self.torrent.save(t.path(more.pop("file", "torrent")))
        self.target = t.path("target")
        self.result = os.path.join(self.target, "data.bin")

    def seed(self, *args):
        return self.t.seed(self.file, self.source, *args, host=HOST)

    def download(self, *args, what=None):
        self.t.run_btget("-d", self.target, "-p", "0", *args,
                         what or self.file)
        sample.assert_same(self.path, self.result)

    def is_there(self):
        try:
            sample.assert_same(self.path, self.result)
        except (AssertionError, OSError):
            return False
        return True


def ours_meet(which):
    @test(needs=NEEDS, quick=which == 0)
    def run(t):
        without_ipv4()
        scene = Swarm(t, start_tracker(t)[which])
        scene.seed()
        scene.download()
    return run


test_ours_meet_by_a_tracker_over_http = ours_meet(0)
test_ours_meet_by_a_tracker_over_udp = ours_meet(1)


@test(needs=NEEDS)
def test_a_given_peer(t):
    without_ipv4()
    scene = Swarm(t)
    seed = scene.seed()
    scene.download("-P", "[%s]:%d" % (HOST, seed.port))


@test(needs=NEEDS)
def test_a_magnet_link(t):
    without_ipv4()
    scene = Swarm(t)
    seed = scene.seed()
    scene.download(what="magnet:?xt=urn:btih:%s&x.pe=[%s]:%d" % (
        scene.torrent.hex, HOST, seed.port))


@test(needs=NEEDS)
def test_encryption_is_required(t):
    without_ipv4()
    scene = Swarm(t)
    seed = scene.seed("--encryption", "require")
    scene.download("--encryption", "require", "-P",
                   "[%s]:%d" % (HOST, seed.port))


@test(needs=NEEDS, deadline=90)
def test_the_dht_and_a_bare_hash(t):
    without_ipv4()
    scene = Swarm(t)
    words = [word for word in OFFLINE if word != "--no-dht"]
    port = free_port(HOST)
    seed = t.btget(*words, "-d", scene.source, "-p", port, "--seed-time",
                   "1h", "--dht-node", "[::1]:9", scene.file, plain=True)
    wait_for(lambda: "seeding" in seed.out(), 30, "the seed", alive=[seed])
    t.btget(*words, "-d", scene.target, "-p", 0, "--dht-node",
            "[%s]:%d" % (HOST, port), scene.torrent.hex,
            plain=True).expect(0, 60)
    sample.assert_same(scene.path, scene.result)


@test(needs=("nginx", *NEEDS))
def test_a_web_seed_alone(t):
    without_ipv4()
    scene = Swarm(t)
    server = Nginx(t, scene.source, HOST)
    meta = dict(scene.torrent.meta)
    meta[b"url-list"] = [server.url]
    scene.file = sample.Torrent(sample.bencode(meta)).save(scene.file)
    t.btget(*[word for word in OFFLINE if word != "--no-webseed"], "-d",
            scene.target, "-p", 0, scene.file, plain=True).expect(0, 30)
    sample.assert_same(scene.path, scene.result)


def start_client(t, name, scene, folder, host):
    return clients.STARTERS[name](t, scene.file, folder, host)


def host_of(name):
    if name in clients.OUTSIDE:
        ip("addr", "add", UNIQUE + "/128", "dev", "lo", "nodad")
        return UNIQUE
    return HOST


def download_from(name, which=0):
    @test(deadline=120, needs=(*clients.NEEDS[name], *NEEDS))
    def run(t):
        without_ipv4()
        host = host_of(name)
        scene = Swarm(t, start_tracker(t, host)[which])
        start_client(t, name, scene, scene.source, host)
        scene.download()
    return run


def seed_to(name, which=0):
    @test(deadline=120, needs=(*clients.NEEDS[name], *NEEDS))
    def run(t):
        without_ipv4()
        host = host_of(name)
        scene = Swarm(t, start_tracker(t, host)[which])
        seed = scene.seed()
        one = start_client(t, name, scene, t.folder("target"), host)
        wait_for(scene.is_there, 100, "a complete copy",
                 alive=[seed, one.proc])
    return run


test_download_from_libtorrent = download_from("libtorrent", 1)
test_seed_to_libtorrent = seed_to("libtorrent")
test_download_from_aria2 = download_from("aria2")
test_seed_to_aria2 = seed_to("aria2")
test_download_from_transmission = download_from("transmission")
test_seed_to_transmission = seed_to("transmission")


@test(needs="namespaces")
def test_a_half_by_each_family(t):
    """Neither seed has all, so that each of them must be found."""
    scene = Scene(t, 2 * MIB)
    count = scene.torrent.piece_count

    both = [scene.seed(have=range(0, count, 2)),
            scene.seed(have=range(1, count, 2), host=HOST)]
    scene.download()
    scene.check()
    assert all(one.requests for one in both)


class Named:
    """A tracker by a name that has an address of each family."""

    def __init__(self, t, scheme="http", **more):
        hosts = sample.write_file(t.path("hosts"), b"127.0.0.1 both.test\n"
                                  b"::1 both.test\n")
        subprocess.run(["mount", "--bind", hosts, "/etc/hosts"], check=True)
        self.scene = Scene(t, MIB)
        self.four = self.scene.tracker
        self.six = tracker.Tracker(t, HOST, port=self.four.port, **more)
        self.scene.torrent = sample.make_torrent(
            self.scene.path,
            "%s://both.test:%d/announce" % (scheme, self.four.port))
        self.scene.torrent.save(self.scene.file)


@test(needs=("namespaces", "mount"), quick=True)
def test_a_tracker_by_name_is_told_over_both(t):
    """Who is known over one family alone is found."""
    for known in ("four", "six"):
        both = Named(t)
        one = both.scene.seed(hold=Flag(lambda b=both: b.four.announces and
                                        b.six.announces))
        both.four.static.clear()
        getattr(both, known).static.append(one.where)
        # With nothing left to do, what has not been sent is given up.
        both.scene.download("--seed-time", "3s")
        both.scene.check()
        for side in (both.four, both.six):
            assert [a.event for a in side.announces if a.event] == [
                "started", "completed", "stopped"], side.announces


@test(needs=("namespaces", "mount"))
def test_a_tracker_that_is_silent_over_one_is_used_over_the_other(t):
    both = Named(t, script=tracker.silent)
    both.scene.seed()
    both.scene.download("--deadline", "15s")
    both.scene.check()
    assert [a.event for a in both.four.announces if a.event] == [
        "started", "completed", "stopped"], both.four.announces


def udp_slow(tracker, data, source, action, transaction):
    """Behind a long way."""
    time.sleep(0.5)
    return NotImplemented


@test(needs=("namespaces", "mount"), quick=True)
def test_a_udp_tracker_hears_all_in_order_over_both(t):
    both = Named(t, "udp", udp_script=udp_slow)
    both.scene.seed()
    both.scene.download("--seed-time", "4s")
    both.scene.check()
    for side in (both.four, both.six):
        assert [a.event for a in side.announces if a.event] == [
            "started", "completed", "stopped"], side.announces


@test(needs=("namespaces", "mount"))
def test_a_udp_tracker_that_hears_late_over_one_hears_all(t):
    both = Named(t, "udp", udp_script=tracker.UdpLosing())
    both.scene.seed()
    both.scene.download("--seed-time", "12s")
    both.scene.check()
    for side in (both.four, both.six):
        assert [a.event for a in side.announces if a.event] == [
            "started", "completed", "stopped"], side.announces


def families_meet(seeder, leech):
    @test(needs="namespaces")
    def run(t):
        port = free_port()
        proc = t.btget("tracker", "--port", port, "--interval", "1")
        wait_for(lambda: accepts("127.0.0.1", port), 10, "the tracker",
                 alive=[proc])
        first, second = [
            Swarm(t, "http://%s:%d/announce" % (host, port), file=name)
            for host, name in ((seeder, "one"), (leech, "two"))]
        first.seed()
        second.download()
    return run


test_four_is_found_over_six = families_meet("127.0.0.1", "[::1]")
test_six_is_found_over_four = families_meet("[::1]", "127.0.0.1")


@test(needs="namespaces")
def test_one_port_for_both_families(t):
    scene = Swarm(t)
    seed = scene.seed()
    for number, host in enumerate(("127.0.0.1", "[::1]")):
        folder = t.path("target%d" % number)
        t.run_btget("-d", folder, "-p", "0", "-P", "%s:%d" % (
            host, seed.port), scene.file)
        sample.assert_same(scene.path, os.path.join(folder, "data.bin"))
