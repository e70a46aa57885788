"""Goal: the router is asked for the port by whatever it speaks, asked again
in time, and given it back; and no router can do harm or cost time."""
import time

from gateway import EXTERNAL, OTHER, US, Gateway, ip
from harness import (OFFLINE, SANITIZED, SLOW, accepts, free_port, test,
                     wait_for)
from preload import library
from swarm import MIB, Scene

ONLINE = [one for one in OFFLINE if one != "--no-portmap"]
NEEDS = ("namespaces", "unshare", "ip")


class Leech:
    """A download that lasts until it is stopped."""

    def __init__(self, t, *args, **options):
        scene = Scene(t, size=2 * MIB)
        scene.slow_seed(2)
        self.tracker = scene.tracker
        self.torrent = scene.torrent
        self.port = free_port()
        self.proc = t.btget(*ONLINE, "-v", "-d", scene.target, "-p",
                            self.port, *args, scene.file, plain=True,
                            **options)

    def stop(self):
        """Ends it; returns how long that took."""
        begun = time.monotonic()
        self.proc.signal(15)
        self.proc.expect(143, 20)
        return time.monotonic() - begun

    def says(self, words):
        return words in self.proc.err()

    def wait_open(self, seconds=20):
        wait_for(lambda: self.says("is open to the outside"), seconds,
                 "the mapping", alive=[self.proc])


@test(needs=NEEDS, quick=True)
def test_pcp(t):
    gateway = Gateway(t, "--pcp")
    leech = Leech(t)
    leech.wait_open()
    first = gateway.heard(by="pcp")
    assert {one["protocol"] for one in first} == {"TCP", "UDP"}
    for one in first:
        assert one["inner"] == one["outer"] == leech.port, one
        assert one["lifetime"] == 7200 and one["size"] == 60, one
        assert one["client"] == US, one
    assert leech.says("port %d of %s (PCP)" % (leech.port, EXTERNAL))
    assert leech.stop() < 3 * SLOW
    gone = gateway.wait(2, by="pcp", lifetime=0)
    # The same nonces, or the gateway would refuse.
    assert {one["nonce"] for one in gone} == {one["nonce"] for one in first}
    assert all(one["outer"] == 0 for one in gone)
    assert not gateway.heard(by="natpmp") and not gateway.heard(by="ssdp")


@test(needs=NEEDS)
def test_who_may_not_listen_asks_for_no_port(t):
    """Port 0 would be all of them."""
    gateway = Gateway(t, "--pcp")
    leech = Leech(t, env=dict(t.env, LD_PRELOAD=library(t),
                              FAULT="bind:1:EPERM:on"))
    wait_for(lambda: leech.says("connected"), 20, "a peer",
             alive=[leech.proc])
    leech.stop()
    assert not gateway.heard(), gateway.heard()


@test(needs=NEEDS)
def test_the_gateway_of_the_interface_is_asked(t):
    for kind in ("pcp", "upnp"):
        gateway = Gateway(t, "--" + kind)
        leech = Leech(t, "-i", "up0")
        leech.wait_open()
        leech.stop()
        gateway.close()


@test(needs=NEEDS)
def test_natpmp_when_pcp_is_refused(t):
    gateway = Gateway(t, "--natpmp")
    leech = Leech(t)
    # It says at once that it speaks another version.
    leech.wait_open(3)
    assert leech.says("port %d of %s (NAT-PMP)" % (leech.port, EXTERNAL))
    leech.stop()
    gone = gateway.wait(2, by="natpmp", lifetime=0)
    assert {one["protocol"] for one in gone} == {"TCP", "UDP"}


@test(needs=NEEDS)
def test_upnp_when_nobody_speaks_the_others(t):
    gateway = Gateway(t, "--upnp")
    leech = Leech(t)
    leech.wait_open()
    assert leech.says("port %d of %s (UPnP)" % (leech.port, EXTERNAL))
    added = gateway.heard(action="AddPortMapping")
    assert {one["protocol"] for one in added} == {"TCP", "UDP"}
    for one in added:
        assert one["outer"] == leech.port and one["client"] == US, one
        assert one["lease"] == 7200, one
    assert leech.stop() < 3 * SLOW
    gone = gateway.wait(2, action="DeletePortMapping")
    assert {(one["protocol"], one["outer"]) for one in gone} == \
        {("TCP", leech.port), ("UDP", leech.port)}


@test(needs=NEEDS)
def test_another_address_of_ours_gets_the_port(t):
    """And soon: what leads to the old one would be renewed in an hour."""
    for words in ((), ("-i", "up0")):
        gateway = Gateway(t, "--upnp")
        leech = Leech(t, *words)
        leech.wait_open()
        gateway.renumber("10.78.0.4")
        added = gateway.wait(2, action="AddPortMapping", client="10.78.0.4",
                             seconds=40, alive=[leech.proc])
        assert {one["protocol"] for one in added} == {"TCP", "UDP"}
        assert {one["outer"] for one in added} == {leech.port}
        leech.stop()
        gateway.close()


@test(needs=NEEDS)
def test_another_gateway_is_seen(t):
    """Many networks give the same address to who comes."""
    gateway = Gateway(t, "--upnp")
    leech = Leech(t)
    leech.wait_open()
    before = len(gateway.heard(by="ssdp"))
    ip("route", "replace", "default", "via", OTHER)
    gateway.wait(before + 1, by="ssdp", seconds=40, alive=[leech.proc])
    gateway.wait(4, action="AddPortMapping", seconds=40, alive=[leech.proc])
    leech.stop()


@test(needs=NEEDS)
def test_upnp_that_knows_no_leases(t):
    gateway = Gateway(t, "--upnp", "--evil", "permanent")
    leech = Leech(t)
    leech.wait_open()
    leech.stop()
    assert {one["protocol"] for one in
            gateway.heard(action="AddPortMapping", lease=0)} == \
        {"TCP", "UDP"}
    assert len(gateway.heard(action="DeletePortMapping")) == 2


@test(needs=NEEDS)
def test_upnp_takes_another_port_where_ours_is_taken(t):
    gateway = Gateway(t, "--upnp", "--evil", "conflict")
    leech = Leech(t)
    leech.wait_open()
    leech.stop()
    ports = {one["outer"] for one in gateway.heard(action="AddPortMapping")}
    assert len(ports) == 2 and leech.port in ports, ports
    gone = gateway.wait(2, action="DeletePortMapping")
    assert len({(one["protocol"], one["outer"]) for one in gone}) == 2
    assert {one["outer"] for one in gone} == ports


def rounds(gateway, **want):
    """When it was asked; what is said again for want of an answer is one."""
    times = []
    for one in gateway.heard(**want):
        if not times or one["at"] - times[-1] > 2.5:
            times.append(one["at"])
    return times


@test(deadline=60, needs=NEEDS)
def test_short_lifetimes_are_renewed(t):
    for kind in ("pcp", "natpmp"):
        gateway = Gateway(t, "--" + kind, "--lifetime", "10")
        leech = Leech(t)
        want = {"by": kind, "protocol": "TCP", "lifetime": 7200}
        wait_for(lambda: len(rounds(gateway, **want)) >= 3, 20,
                 "three rounds", alive=[leech.proc])
        leech.stop()
        times = rounds(gateway, **want)
        steps = [b - a for a, b in zip(times, times[1:])]
        assert all(4 <= step <= 8 for step in steps), steps
        gateway.close()


@test(deadline=60, needs=NEEDS)
def test_a_renewal_that_gets_no_answer_is_asked_for_again(t):
    """As long as it lasts, the mapping has one nonce."""
    gateway = Gateway(t, "--pcp", "--lifetime", "10", "--miss", "4")
    leech = Leech(t)
    gateway.wait(7, by="pcp", protocol="TCP", lifetime=7200, seconds=40,
                 alive=[leech.proc])
    leech.stop()
    assert not leech.says("no longer open"), leech.proc.err()
    for protocol in ("TCP", "UDP"):
        heard = gateway.heard(by="pcp", protocol=protocol)
        assert len({one["nonce"] for one in heard}) == 1, heard
        assert [one for one in heard if one["lifetime"] == 0]


@test(deadline=60, needs=NEEDS)
def test_what_a_gateway_had_that_is_mute_is_given_back(t):
    gateway = Gateway(t, "--pcp", "--lifetime", "10", "--miss", "1000")
    leech = Leech(t)
    wait_for(lambda: leech.says("no longer open to the outside"), 45,
             "the loss", alive=[leech.proc])
    assert leech.stop() < 3 * SLOW
    # It is told as we leave, and may be slower than that.
    gone = gateway.wait(2, by="pcp", lifetime=0)
    assert {one["protocol"] for one in gone} == {"TCP", "UDP"}, gone
    assert {one["nonce"] for one in gone} == {
        one["nonce"] for one in gateway.heard(by="pcp", lifetime=7200)}


@test(deadline=60, needs=NEEDS)
def test_a_restarted_gateway_is_asked_again(t):
    gateway = Gateway(t, "--pcp")
    leech = Leech(t)
    leech.wait_open()
    gateway.order("restart")
    gateway.wait(2, by="pcp", protocol="TCP", lifetime=7200,
                 alive=[leech.proc])


@test(needs=NEEDS)
def test_trackers_hear_of_the_outer_port(t):
    Gateway(t, "--pcp", "--port", "45678")
    leech = Leech(t)
    leech.wait_open()
    wait_for(lambda: leech.tracker.of(leech.torrent, "started"), 20,
             "the announce", alive=[leech.proc])
    leech.stop()
    last = leech.tracker.of(leech.torrent, "stopped")
    assert last and last[-1].port == 45678, last


@test(deadline=90, needs=NEEDS)
def test_trackers_hear_that_the_outer_port_is_lost(t):
    gateway = Gateway(t, "--pcp", "--port", "45678", "--lifetime", "10")
    leech = Leech(t)
    leech.wait_open()
    gateway.proc.signal(19)
    wait_for(lambda: leech.says("no longer open to the outside"), 45,
             "the loss", alive=[leech.proc])
    leech.stop()
    last = leech.tracker.of(leech.torrent, "stopped")
    assert last and last[-1].port == leech.port, last


@test(needs=NEEDS, quick=True)
def test_without_a_gateway_it_is_silent(t):
    leech = Leech(t)
    wait_for(lambda: leech.says("no port mapping: no gateway"), 10,
             "the one word", alive=[leech.proc])
    assert leech.stop() < 3 * SLOW
    quiet = Leech(t, "-q")
    wait_for(lambda: accepts("127.0.0.1", quiet.port), 10, "btget")
    quiet.stop()
    assert "port mapping" not in quiet.proc.err()


@test(needs=NEEDS)
def test_a_mute_gateway_does_not_delay_the_exit(t):
    gateway = Gateway(t, "--evil", "mute")
    leech = Leech(t)
    wait_for(lambda: leech.says("no port mapping: the gateway answers to "
                                "none"), 30, "giving up",
             alive=[leech.proc])
    assert leech.stop() < 2 * SLOW
    assert gateway.proc.running()


@test(needs=NEEDS)
def test_a_gateway_that_dies_does_not_delay_the_exit(t):
    gateway = Gateway(t, "--pcp")
    leech = Leech(t)
    leech.wait_open()
    gateway.proc.signal(19)
    assert leech.stop() < 3 * SLOW


@test(needs=NEEDS)
def test_nothing_is_asked_for_what_is_complete(t):
    gateway = Gateway(t, "--pcp", "--upnp")
    scene = Scene(t, size=MIB)
    scene.seed()
    words = [*ONLINE, "-d", scene.target, scene.file]
    t.run_btget(*words, "--no-portmap", plain=True)
    assert not gateway.heard()
    t.run_btget(*words, plain=True)
    assert not gateway.heard(), gateway.heard()


@test(deadline=90, needs=NEEDS)
def test_hostile_packets_are_no_answers(t):
    for evil in ("nonce", "short"):
        gateway = Gateway(t, "--pcp", "--evil", evil)
        leech = Leech(t)
        wait_for(lambda: leech.says("no port mapping"), 30, "giving up",
                 alive=[leech.proc])
        leech.stop()
        assert not leech.says("open to the outside")
        gateway.close()


def refused(t, evil):
    """A hostile UPnP gateway; returns what it heard by HTTP."""
    gateway = Gateway(t, "--upnp", "--evil", evil)
    leech = Leech(t)
    wait_for(lambda: leech.says("no port mapping"), 30, "giving up",
             alive=[leech.proc])
    assert SANITIZED or leech.proc.peak() < 64 * 1024
    assert leech.stop() < 3 * SLOW
    assert not leech.says("open to the outside")
    assert not gateway.heard(by="upnp")
    if evil == "huge":
        gateway.wait(by="get", hung_up=True)
    return gateway.heard(by="get")


@test(needs=NEEDS)
def test_a_description_elsewhere_is_not_fetched(t):
    assert refused(t, "elsewhere") == []


@test(needs=NEEDS)
def test_a_description_on_our_loopback_is_not_fetched(t):
    assert refused(t, "loopback") == []


@test(needs=NEEDS)
def test_a_description_by_name_is_not_fetched(t):
    assert refused(t, "name") == []


@test(needs=NEEDS)
def test_redirects_are_not_followed(t):
    assert {one["path"] for one in refused(t, "redirect")} == {"/desc.xml"}


@test(needs=NEEDS)
def test_orders_go_to_nobody_else(t):
    assert refused(t, "control")


@test(needs=NEEDS)
def test_an_endless_description_is_given_up(t):
    assert [one for one in refused(t, "huge") if one.get("hung_up")]


@test(needs=NEEDS)
def test_a_description_that_never_comes_is_given_up(t):
    assert refused(t, "hang")


@test(needs=NEEDS)
def test_stopping_while_it_waits_for_a_description(t):
    gateway = Gateway(t, "--upnp", "--evil", "hang")
    leech = Leech(t)
    gateway.wait(by="get", alive=[leech.proc])
    assert leech.stop() < 2 * SLOW
