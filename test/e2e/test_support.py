"""Goal: the tests' own instruments are true. The scripted peers and tracker
work with each other and with clients that others wrote, and the real clients
download from each other by our torrents, all without btget; so a failure
elsewhere is btget's."""
import os

import clients
import peer
import sample
from harness import SLOW, free_port, test, wait_for
from swarm import MIB, Scene


@test(quick=True)
def test_scripted_leech_downloads_from_scripted_seed(t):
    scene = Scene(t, MIB + 7)
    seed = scene.seed()
    leech = peer.Dialer(t, scene.torrent, seed.where, peer.good_leech)
    assert leech.done.wait(20 * SLOW), leech.ends


def between(seeder, leecher):
    @test(deadline=120, needs=clients.NEEDS[seeder] + clients.NEEDS[leecher])
    def run(t):
        host = clients.host_for(seeder, leecher)
        other = clients.host_for(seeder, leecher, number=1)
        scene = Scene(t, files=sample.ODD_TREE, host=host)
        one = clients.STARTERS[seeder](t, scene.file, scene.source, other)
        scene.tracker.static.append((other, one.port))
        wait_for(lambda: scene.tracker.seeders(scene.torrent) >= 1, 60,
                 "announce of the seeder", alive=[one.proc])
        target = t.folder("target")
        two = clients.STARTERS[leecher](t, scene.file, target, host)
        wait_for(lambda: scene.tracker.seeders(scene.torrent) >= 2, 90,
                 "announce of the leech that it is complete",
                 alive=[one.proc, two.proc])
        sample.assert_same(scene.path, os.path.join(target, "data"),
                           leecher in clients.NO_EMPTY)
    return run


test_aria2_downloads_from_libtorrent = between("libtorrent", "aria2")
test_transmission_downloads_from_libtorrent = between("libtorrent",
                                                      "transmission")
test_libtorrent_downloads_from_rtorrent = between("rtorrent", "libtorrent")
test_libtorrent_downloads_from_ctorrent = between("ctorrent", "libtorrent")
test_qbittorrent_downloads_from_libtorrent = between("libtorrent",
                                                     "qbittorrent")


@test(needs=("opentracker", "libtorrent"))
def test_opentracker_brings_libtorrent_together(t):
    source, target = t.folder("source"), t.folder("target")
    path = sample.make_file(os.path.join(source, "data.bin"), MIB)
    _, udp = clients.start_opentracker(t, sample.make_torrent(path))
    file = sample.make_torrent(path, udp).save(t.path("it.torrent"))
    one = clients.start_libtorrent(t, file, source)
    two = clients.start_libtorrent(t, file, target)
    wait_for(lambda: '"seeding": true' in two.proc.out(), 50, "completion",
             alive=[one.proc, two.proc])
    sample.assert_same(path, os.path.join(target, "data.bin"))


@test()
def test_a_process_left_behind_is_noticed(t):
    t.spawn(["sh", "-c", "setsid sleep 1000 & exit 0"]).expect(0)
    found = t.sweep()
    assert len(found) == 1 and "sleep" in found[0], found


@test()
def test_free_ports_are_free(t):
    ports = {free_port() for _ in range(20)}
    assert all(1024 <= port < 65536 for port in ports)
