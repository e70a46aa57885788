"""Goal: when the network comes back, so does the download, and soon: what
failed meanwhile does not wait for an hour."""
from harness import OFFLINE, test, wait_for
from roads import SERVER, Road, ip
from swarm import MIB, Scene


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
