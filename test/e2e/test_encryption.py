"""Goal: peers that take nothing but encryption are reached, both ways, and
those that know none as well, within seconds; with --encryption=require not
one plain handshake leaves or is taken; nothing readable is on the wire."""
import contextlib
import os
import socket
import threading
import time

import clients
import peer
import sample
from harness import SLOW, free_port, test, wait_for
from swarm import MIB, Scene


def same(want, got, without_empty=False):
    """Whether the trees are the same by now."""
    try:
        sample.assert_same(want, got, without_empty)
    except (AssertionError, OSError):
        return False
    return True


# ---- real clients

def download_from(name, theirs, *ours):
    @test(deadline=120, needs=clients.NEEDS[name])
    def run(t):
        scene = Scene(t, files=sample.ODD_TREE, host=clients.host_for(name))
        one = clients.start(t, name, scene, scene.source, encrypt=theirs)
        wait_for(lambda: scene.tracker.seeders(scene.torrent), 60,
                 "announce of the seeder", alive=[one.proc])
        got = scene.download("-v", *ours, seconds=90)
        scene.check()
        assert ": connected, encrypted" in got.err() or \
            ": came in, encrypted" in got.err(), got.err()
    return run


def seed_to(name, theirs, *ours):
    @test(deadline=150, needs=clients.NEEDS[name])
    def run(t):
        scene = Scene(t, files=sample.ODD_TREE, host=clients.host_for(name))
        seed = t.seed(scene.file, scene.source, "-v", *ours)
        wait_for(lambda: scene.tracker.seeders(scene.torrent), 30,
                 "announce of btget", alive=[seed])
        target = t.folder("target")
        one = clients.start(t, name, scene, target, encrypt=theirs)
        wait_for(lambda: same(scene.path, os.path.join(target, "data"),
                              name in clients.NO_EMPTY), 120,
                 "complete copy", alive=[seed, one.proc])
        assert ", encrypted\n" in seed.err(), seed.err()
    return run


REQUIRE = "--encryption=require"

test_download_from_libtorrent_that_requires_it = \
    download_from("libtorrent", True)
test_download_from_aria2_that_requires_it = download_from("aria2", True)
test_download_from_transmission_that_requires_it = \
    download_from("transmission", True)
test_download_from_rtorrent_that_requires_it = download_from("rtorrent", True)
test_require_it_of_libtorrent = download_from("libtorrent", False, REQUIRE)
test_require_it_of_aria2 = download_from("aria2", False, REQUIRE)
test_require_it_of_transmission = download_from("transmission", False,
                                                REQUIRE)
test_require_it_of_rtorrent = download_from("rtorrent", False, REQUIRE)
test_seed_to_libtorrent_that_requires_it = seed_to("libtorrent", True)
test_seed_to_aria2_that_requires_it = seed_to("aria2", True)
test_seed_to_transmission_that_requires_it = seed_to("transmission", True)
test_seed_to_rtorrent_that_requires_it = seed_to("rtorrent", True)
test_seed_to_libtorrent_by_force = seed_to("libtorrent", True, REQUIRE)
test_seed_to_aria2_by_force = seed_to("aria2", True, REQUIRE)
test_seed_to_transmission_by_force = seed_to("transmission", True, REQUIRE)
test_seed_to_rtorrent_by_force = seed_to("rtorrent", True, REQUIRE)
# By our wish alone: they would take plain connections as well.
test_seed_to_libtorrent_that_need_not = seed_to("libtorrent", False, REQUIRE)
test_seed_to_aria2_that_need_not = seed_to("aria2", False, REQUIRE)
test_seed_to_transmission_that_need_not = seed_to("transmission", False,
                                                  REQUIRE)
test_seed_to_rtorrent_that_need_not = seed_to("rtorrent", False, REQUIRE)


# ---- peers that know none

@test(quick=True)
def test_a_plain_peer_is_tried_again_at_once(t):
    scene = Scene(t, MIB)
    one = scene.seed()
    started = time.monotonic()
    scene.download()
    scene.check()
    assert one.refused == 1 and one.connections == 1, one.ends
    assert time.monotonic() - started < 5 * SLOW


@test()
def test_a_silent_one_costs_seconds_and_no_backoff(t):
    """It takes the encrypted try and never says a word to it."""
    scene = Scene(t, MIB)
    one = scene.seed()
    one.keep_refused = True
    started = time.monotonic()
    scene.download()
    scene.check()
    assert one.refused == 1 and one.connections == 1, one.ends
    assert 3 < time.monotonic() - started < 12


@test(quick=True)
def test_off_begins_in_plain(t):
    scene = Scene(t, MIB)
    one = scene.seed()
    scene.download("--encryption", "off")
    scene.check()
    assert one.refused == 0 and one.connections == 1, one.ends


@test(quick=True)
def test_require_says_nothing_in_plain(t):
    scene = Scene(t, MIB)
    one = scene.seed()
    scene.download(REQUIRE, "--stall-timeout", "4s", code=5)
    assert one.refused >= 1 and one.connections == 0, one.ends


@test(quick=True)
def test_require_takes_nothing_in_plain(t):
    scene = Scene(t, MIB)
    seed = t.seed(scene.file, scene.source, REQUIRE)
    one = peer.Dialer(t, scene.torrent, ("127.0.0.1", seed.port),
                      peer.good_leech)
    wait_for(lambda: one.ends, 20, "end of the connection")
    assert one.ends == ["closed by the other side"] or \
        "reset" in one.ends[0], one.ends
    assert not one.got and seed.running()


# ---- ours among themselves

class Tap:
    """Passes bytes on between two sides, and keeps them."""

    def __init__(self, t, where):
        self.where = where
        self.seen = [bytearray(), bytearray()]
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.sockets = [self.listener]
        t.at_end.append(self.close)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                near, _ = self.listener.accept()
                far = socket.create_connection(self.where)
                self.sockets += [near, far]
                for pair in ((near, far, 0), (far, near, 1)):
                    threading.Thread(target=self.pump, args=pair,
                                     daemon=True).start()

    def pump(self, source, target, way):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self.seen[way] += data
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def close(self):
        for one in self.sockets:
            with contextlib.suppress(OSError):
                one.close()


def through_a_tap(t, *ours):
    """What went each way, and what of it must not be readable."""
    scene = Scene(t, 2 * MIB)
    other = scene.torrent.save(t.path("plain.torrent"))
    seed = t.seed(other, scene.source, *ours)
    told = wait_for(lambda: scene.tracker.of(scene.torrent), 20, "announce",
                    alive=[seed])
    scene.tracker.stop()
    tap = Tap(t, ("127.0.0.1", seed.port))
    scene.download("-P", "127.0.0.1:%d" % tap.port, *ours)
    scene.check()
    wait_for(lambda: len(tap.seen[1]) > 2 * MIB, 20, "all of it")
    # Long ones: four bytes are in 2 MiB of noise now and then.
    words = [b"BitTorrent", scene.torrent.info_hash, told[0].peer_id,
             b"4:reqqi", scene.content[5000:5032], scene.content[-32:]]
    return [word for word in words
            if word in tap.seen[0] or word in tap.seen[1]], words


@test(quick=True)
def test_nothing_is_readable_on_the_wire(t):
    found, _ = through_a_tap(t, REQUIRE)
    assert not found, found


@test(quick=True)
def test_off_is_readable_as_a_tap_sees(t):
    """That the test above can fail."""
    found, words = through_a_tap(t, "--encryption=off")
    assert found == words, found


@test()
def test_the_torrent_is_found_among_many(t):
    scenes = [Scene(t, MIB, name="data-%d" % n) for n in range(8)]
    folder = t.folder("all")
    for scene in scenes:
        os.rename(scene.path, os.path.join(folder, scene.torrent.name))
        scene.path = os.path.join(folder, scene.torrent.name)
    port = free_port()
    seed = t.btget("-d", folder, "-p", port, "--seed-time", "1h", REQUIRE,
                   *[scene.file for scene in scenes])
    wait_for(lambda: seed.out().count("seeding") >= len(scenes), 30,
             "seeding", alive=[seed])
    for scene in scenes:
        scene.download(REQUIRE, "-P", "127.0.0.1:%d" % port)
        scene.check()


@test()
def test_garbage_and_silence_do_not_hold_up_others(t):
    scene = Scene(t, MIB)
    seed = t.seed(scene.file, scene.source, REQUIRE)
    where = ("127.0.0.1", seed.port)
    noise = []
    for number in range(100):
        one = socket.create_connection(where)
        noise.append(one)
        with contextlib.suppress(OSError):
            one.sendall(sample.random_bytes((40, 96, 300, 5000)[number % 4],
                                            number))
    scene.download(REQUIRE, "-P", "127.0.0.1:%d" % seed.port)
    scene.check()
    for one in noise[3::4]:
        one.settimeout(10)
        with contextlib.suppress(ConnectionResetError):
            while one.recv(4096):
                pass
    for one in noise:
        one.close()
    assert seed.running()


# ---- without RC4

@test(quick=True)
def test_without_rc4_it_says_so_once_and_goes_on(t):
    scene = Scene(t, MIB)
    one = scene.seed()
    t.env["OPENSSL_MODULES"] = t.folder("empty")
    got = scene.download()
    scene.check()
    assert one.refused == 0 and one.connections == 1, one.ends
    assert got.err().count("no encrypted connections") == 1, got.err()
    assert got.err().count("\n") == 1, got.err()


@test()
def test_it_is_said_once_for_many_torrents(t):
    """And a configuration that cannot be read changes nothing."""
    scenes = [Scene(t, MIB, name="data-%d" % n) for n in range(3)]
    for scene in scenes:
        scene.seed()
    t.env["OPENSSL_MODULES"] = t.folder("empty")
    t.env["OPENSSL_CONF"] = t.path("no such file")
    got = t.run_btget("-d", t.path("all"), "-p", "0",
                      *[scene.file for scene in scenes])
    for scene in scenes:
        sample.assert_same(scene.path,
                           t.path("all", os.path.basename(scene.path)))
    assert got.err().count("\n") == 1, got.err()


@test(quick=True)
def test_a_configuration_that_loads_no_rc4_does_no_harm(t):
    """What the system's file says of providers is for others: RC4 is asked
    for by name."""
    scene = Scene(t, MIB)
    seed = t.seed(scene.file, scene.source, REQUIRE)
    for text in ("openssl_conf = x\n[x]\nproviders = y\n[y]\n"
                 "default = z\n[z]\nactivate = 1\n",
                 "openssl_conf = x\n[x]\nproviders = y\n[y]\n"
                 "base = z\n[z]\nactivate = 1\n", "[[[ = garbage\n"):
        t.env["OPENSSL_CONF"] = sample.write_file(t.path("conf"),
                                                  text.encode())
        got = t.run_btget("-d", t.path("got-%d" % len(text)), "-p", "0", "-P",
                          "127.0.0.1:%d" % seed.port, REQUIRE, scene.file)
        assert got.err() == "", got.err()


@test(quick=True)
def test_without_rc4_nothing_can_be_required(t):
    scene = Scene(t, MIB)
    one = scene.seed()
    t.env["OPENSSL_MODULES"] = t.folder("empty")
    got = scene.download(REQUIRE, code=1)
    assert "cannot encrypt" in got.err(), got.err()
    assert one.refused == 0 and one.connections == 0, one.ends
