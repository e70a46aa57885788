"""Goal: when the network comes back, so does the download, and soon: what
failed meanwhile does not wait for an hour."""
import struct

import peer
from harness import OFFLINE, test, wait_for
from preload import Sleep
from roads import SERVER, Road, ip
from sample import BLOCK
from swarm import MIB, Scene
from web import Web


@test(deadline=120, needs=("namespaces", "nsenter", "ip"))
def test_a_lost_address_does_not_hold_its_connections(t):
    """Nobody tells a connection that its end of the line is gone."""
    road = Road(t, "net0", 63)
    with road.inside():
        scene = Scene(t, 4 * MIB, host=SERVER)
        seed = scene.slow_seed(0.02, host=SERVER)
    proc = t.btget(*OFFLINE, "-v", "-d", scene.target, "-p", "0", scene.file,
                   plain=True)
    scene.wait_requests(seed, 60, proc)
    road.move()
    proc.expect(0, 100)
    assert "answers a new call" in proc.err(), proc.err()
    scene.check()


@test(deadline=60)
def test_a_peer_that_is_just_silent_keeps_its_connection(t):
    """Its machine answers, so its data may still come."""
    scene = Scene(t, MIB)
    held = []

    def script(one, conn):
        """Holds all back that is asked for, until a keepalive comes."""
        peer.greet(one, conn)
        while True:
            kind, payload = conn.message()
            if kind == peer.REQUEST:
                held.append(struct.unpack(">III", payload))
            elif kind is None:
                break
        for index, begin, _ in held:
            conn.piece(index, begin, one.block(index, begin, BLOCK))
        peer.serve(one, conn)
    seed = scene.seed(script)
    proc = t.btget(*OFFLINE, "-vv", "-d", scene.target, "-p", "0",
                   scene.file, plain=True)
    proc.expect(0, 40)
    assert held and "hangs" not in proc.err(), proc.err()
    assert seed.connections == 1
    scene.check()


@test(deadline=120, needs=("namespaces", "nsenter", "ip"))
def test_a_new_address_makes_the_torrent_of_a_link_due(t):
    road = Road(t, "net0", 64)
    with road.inside():
        scene = Scene(t, MIB, host=SERVER)
        web = Web(t, scene.source, host=SERVER)
    road.down()
    proc = t.btget(*[word for word in OFFLINE if word != "--no-webseed"],
                   "-v", "-d", scene.target, "-p", "0",
                   "magnet:?xt=urn:btih:%s&xs=%sdata.bin.torrent&ws=%s" % (
                       scene.torrent.hex, web.url, web.url), plain=True)
    # The next try is 10 min away.
    wait_for(lambda: "/...: " in proc.err(), 40, "the failure",
             alive=[proc])
    assert web.requests == []
    road.up()
    ip("route", "add", "default", "via", road.address(2), "dev", "net0")
    proc.expect(0, 40)
    scene.check()


@test(deadline=120, needs=("namespaces", "nsenter", "ip"))
def test_a_new_address_makes_trackers_due(t):
    road = Road(t, "net0", 62)
    with road.inside():
        scene = Scene(t, MIB, host=SERVER)
        scene.seed(host=SERVER)
    road.down()
    proc = t.btget(*OFFLINE, "-v", "-d", scene.target, "-p", "0", scene.file,
                   plain=True)
    # The next try is 44 s away or more.
    wait_for(lambda: proc.err().count("tracker 'http:") == 2, 40,
             "failures", alive=[proc])
    road.up()
    ip("route", "add", "default", "via", road.address(2), "dev", "net0")
    proc.expect(0, 35)
    assert "the network is back" in proc.err()
    scene.check()


@test(deadline=90)
def test_a_machine_that_was_suspended_asks_its_tracker_again(t):
    """Which had said to come in half an hour, and that is over."""
    scene = Scene(t, MIB, tracker={"interval": 1800})
    idle = scene.seed(peer.never_unchokes)
    sleep = Sleep(t, scene.target)
    proc = scene.start("-v", env=sleep.env)
    # By then what the tracker said is known.
    wait_for(idle.acted.is_set, 20, "a peer", alive=[proc])
    assert len(scene.tracker.of(scene.torrent)) == 1
    sleep.last(3630)
    wait_for(lambda: len(scene.tracker.of(scene.torrent)) == 2, 40,
             "another announce", alive=[proc])
    assert "the machine slept for 1h00m" in proc.err(), proc.err()
