"""Goal: with --interface not one packet leaves by another interface, whatever
btget does and whatever becomes of the interface; and the download goes on
when it is back.

There are two roads to the same servers. The open one is what the routes
prefer; the other one is called vpn0. What is counted are packets."""
import os
import subprocess
import time

import sample
from harness import BTGET, OFFLINE, free_port, test, wait_for
from preload import Later
from relay import Relay
from roads import SERVER, SERVER6, Road, Watch, ip
from swarm import MIB, Scene
from web import Web

NEEDS = ("namespaces", "nsenter", "ip")
KIB = 1 << 10


class Roads:
    """The servers are at the end of vpn0 alone."""

    def __init__(self, t, families=(4,), open_families=(4,)):
        self.t = t
        self.open = Road(t, "open0", 60, open_families, metric=100)
        self.vpn = Road(t, "vpn0", 61, families, metric=500)
        self.watch_open = Watch(t, "open0")
        self.watch_vpn = Watch(t, "vpn0")

    def scene(self, **more):
        with self.vpn.inside():
            return Scene(self.t, host=more.pop("host", SERVER), **more)

    def seed(self, scene, host=SERVER, **more):
        with self.vpn.inside():
            return scene.seed(host=host, **more)

    def slow_seed(self, scene, delay_s, host=SERVER):
        with self.vpn.inside():
            return scene.slow_seed(delay_s, host=host)


def start(t, scene, *args, torrent=None, online=(), **more):
    offline = [one for one in OFFLINE if one not in online]
    return t.btget(*offline, "-v", "-d", scene.target, "-p", "7001", *args,
                   torrent or scene.file, plain=True, **more)


def everything(t, interface):
    """A download in which each part of btget has to send something."""
    roads = Roads(t)
    scene = roads.scene(size=512 * KIB)
    seed = roads.seed(scene)
    with roads.vpn.inside():
        web = Web(t, scene.source, host=SERVER)
        node = free_port(SERVER)
        local = free_port(SERVER)
    # A torrent that names an HTTP and a UDP tracker and a web seed, and is
    # itself at a URL.
    torrent = sample.make_torrent(
        scene.path, [[scene.tracker.url], [scene.tracker.udp_url]],
        meta={"url-list": "http://%s:%d/" % (SERVER, web.port)})
    torrent.save(os.path.join(scene.source, "all.torrent"))
    node_proc = roads.vpn.spawn(
        [BTGET, "--no-portmap", "--no-lsd", "-d", t.folder("node"), "-p",
         node, "magnet:?xt=urn:btih:" + "0" * 40], name="node",
        is_btget=True)
    # Who hears of it by multicast alone.
    lsd_seed = roads.vpn.spawn(
        [BTGET, "--no-portmap", "--no-dht", "-v", "-d", scene.source, "-p",
         local, "--seed-time", "1h", scene.file], name="lsd",
        is_btget=True)
    proc = start(t, scene, "-i", interface, "--dht-node",
                 "%s:%d" % (SERVER, node), "--seed-time", "1h",
                 torrent="http://%s:%d/all.torrent" % (SERVER, web.port),
                 online=("--no-dht", "--no-lsd", "--no-portmap",
                         "--no-webseed", "--no-pex"))
    watch = roads.watch_vpn
    wait_for(lambda: "seeding" in proc.out(), 30, "the download",
             alive=[proc, node_proc, lsd_seed])
    for what, want in (
            ("the UDP tracker", {"kind": "udp",
                                 "port": scene.tracker.port}),
            ("the HTTP tracker", {"kind": "tcp",
                                  "port": scene.tracker.port}),
            ("the web seed", {"kind": "tcp", "port": web.port}),
            ("the peer", {"kind": "tcp", "port": seed.where[1]}),
            ("the DHT", {"kind": "udp", "port": node}),
            ("the local network", {"kind": "udp", "port": 6771})):
        wait_for(lambda want=want: watch.sent(**want), 20, what,
                 alive=[proc])
    wait_for(lambda: scene.tracker.of(scene.torrent), 20, "the trackers",
             alive=[proc])
    proc.signal(15)
    proc.expect(143, 20)
    scene.check()
    roads.watch_open.nothing()
    return roads, scene


@test(deadline=100, needs=NEEDS, quick=True)
def test_all_leaves_by_the_interface_of_the_name(t):
    roads, scene = everything(t, "vpn0")
    # And without the option it would have been the other one.
    other = start(t, scene, "-d", t.folder("other"))
    wait_for(lambda: roads.watch_open.sent(kind="tcp"), 20,
             "what the watch sees", alive=[other])


@test(deadline=100, needs=NEEDS)
def test_all_leaves_by_the_interface_of_the_address(t):
    everything(t, "10.61.0.1")


@test(deadline=60, needs=NEEDS + ("setpriv",), quick=True)
def test_it_takes_no_rights(t):
    roads = Roads(t)
    scene = roads.scene(size=256 * KIB)
    with roads.vpn.inside():
        web = Web(t, scene.source, host=SERVER)
    torrent = sample.make_torrent(
        scene.path, scene.tracker.url,
        meta={"url-list": "http://%s:%d/" % (SERVER, web.port)})
    torrent.save(t.path("web.torrent"))
    for interface in ("vpn0", "10.61.0.1"):
        proc = t.spawn(
            ["setpriv", "--bounding-set=-net_raw,-net_admin",
             "--inh-caps=-all", BTGET, "--no-dht", "--no-lsd",
             "--no-portmap", "-i", interface, "-d", t.folder(interface),
             t.path("web.torrent")], name="btget", is_btget=True)
        proc.expect(0, 40)
    assert web.requests and scene.tracker.of(scene.torrent, "completed")
    roads.watch_open.nothing()


@test(deadline=60, needs=NEEDS)
def test_others_reach_us_by_the_interface_alone(t):
    roads = Roads(t)
    scene = roads.scene(size=256 * KIB)
    seed = start(t, scene, "-i", "vpn0", "--seed-time", "1h", "-d",
                 scene.source)
    wait_for(lambda: "seeding" in seed.out(), 20, "the seed", alive=[seed])

    def leech(road, name):
        return road.spawn([BTGET, *OFFLINE, "-d", t.folder(name), "-P",
                           road.address(1) + ":7001", "--stall-timeout", "4s",
                           scene.file], name=name, is_btget=True)
    leech(roads.open, "outside").expect(5, 30)
    leech(roads.vpn, "inside").expect(0, 30)
    sent = [p for p in roads.watch_open.sent() if p.kind == "tcp" and
            p.frame[47] & 0x12 == 0x12]
    assert not sent, "a connection was taken: %r" % sent


@test(deadline=90, needs=NEEDS, quick=True)
def test_utp_leaves_by_the_interface_and_comes_back_with_it(t):
    roads = Roads(t)
    scene = roads.scene(size=2 * MIB, announce=None)
    with roads.vpn.inside():
        port = free_port(SERVER)
    seed = roads.vpn.spawn(
        [BTGET, *(one for one in OFFLINE if one != "--no-utp"), "-d",
         scene.source, "-p", port, "--seed-time", "1h", "--up-limit", "200K",
         scene.file], name="seed", is_btget=True)
    wait_for(lambda: "seeding" in seed.out(), 20, "the seed", alive=[seed])
    with roads.vpn.inside():
        relay = Relay(t, port, SERVER)
    proc = start(t, scene, "-i", "vpn0", "-P", relay.name,
                 online=("--no-utp",))
    wait_for(lambda: relay.answered > 300, 30, "some data", alive=[proc])
    roads.vpn.down()
    wait_for(lambda: "away" in proc.err() or "gone" in proc.err() or
             "down" in proc.err(), 20, "the word on it", alive=[proc])
    roads.vpn.up()
    proc.expect(0, 60)
    scene.check()
    assert ", by uTP" in proc.err(), proc.err()
    assert roads.watch_vpn.sent(kind="udp", port=relay.where[1])
    roads.watch_open.nothing()


@test(deadline=60, needs=NEEDS)
def test_a_gateway_of_another_interface_is_not_asked(t):
    roads = Roads(t)
    ip("route", "add", "default", "via", roads.open.address(2))
    scene = roads.scene(size=256 * KIB)
    roads.seed(scene)
    proc = start(t, scene, "-i", "vpn0", "--seed-time", "1h",
                 online=("--no-portmap",))
    wait_for(lambda: "no port mapping: no gateway" in proc.err(), 20,
             "the word on the gateway", alive=[proc])
    roads.watch_open.nothing()
    proc.signal(15)
    proc.expect(143, 20)


def fails_closed(t, take_away, bring_back):
    roads = Roads(t)
    scene = roads.scene(size=2 * MIB)
    slow = roads.slow_seed(scene, 0.3)
    proc = start(t, scene, "-i", "vpn0", "--dht-node", SERVER + ":7777",
                 online=("--no-dht", "--no-lsd"))
    scene.wait_requests(slow, 3, proc)
    take_away(roads)
    wait_for(lambda: "is away" in proc.err(), 10, "the word of it",
             alive=[proc])
    # A name that would be looked up, and addresses to be tried, come with
    # everything that is due meanwhile.
    try:
        wait_for(lambda: roads.watch_open.sent() or not proc.running(), 8,
                 "a leak")
    except AssertionError:
        pass
    assert proc.running(), proc.err()
    roads.watch_open.nothing()
    bring_back(roads)
    with roads.vpn.inside():
        scene.seed(host=SERVER)
    proc.expect(0, 60)
    assert "is back" in proc.err(), proc.err()
    assert proc.err().count("is away") == 1, proc.err()
    scene.check()
    roads.watch_open.nothing()


@test(deadline=120, needs=NEEDS, quick=True)
def test_nothing_leaves_while_it_is_down(t):
    fails_closed(t, lambda r: r.vpn.down(), lambda r: r.vpn.up())


@test(deadline=120, needs=NEEDS)
def test_nothing_leaves_while_it_is_gone(t):
    fails_closed(t, lambda r: r.vpn.remove(), lambda r: r.vpn.build())


@test(deadline=60, needs=NEEDS)
def test_one_that_cannot_be_looked_at_is_not_away(t):
    """For want of a descriptor, just as something else has changed."""
    roads = Roads(t)
    scene = roads.scene(size=MIB)
    slow = roads.slow_seed(scene, 0.1)
    later = Later(t, scene.target, "ifaddrs:1:EMFILE")
    proc = start(t, scene, "-i", "vpn0", env=later.env)
    scene.wait_requests(slow, 3, proc)
    later.begin()
    ip("link", "add", "idle0", "type", "veth", "peer", "name", "idle1")
    wait_for(lambda: later.met, 20, "a look that fails", alive=[proc])
    proc.expect(0, 40)
    scene.check()
    assert "is away" not in proc.err(), proc.err()


@test(deadline=90, needs=NEEDS)
def test_one_that_goes_before_the_first_torrent_is_waited_for(t):
    roads = Roads(t)
    scene = roads.scene(size=256 * KIB)
    roads.seed(scene)
    watched = t.folder("watched")
    proc = start(t, scene, "-i", "vpn0", "--watch", watched, torrent="-v",
                 online=("--no-dht", "--no-lsd"))
    wait_for(lambda: "watching" in proc.err(), 20, "the start", alive=[proc])
    roads.vpn.down()
    os.link(scene.file, os.path.join(watched, "one.torrent"))
    wait_for(lambda: "is away" in proc.err(), 10, "the word of it",
             alive=[proc])
    time.sleep(2)
    roads.vpn.up()
    wait_for(lambda: os.path.exists(scene.result), 40, "the download",
             alive=[proc])
    scene.check()
    roads.watch_open.nothing()


@test(deadline=60, needs=NEEDS)
def test_one_that_stays_away_ends_by_the_timeout(t):
    roads = Roads(t)
    scene = roads.scene(size=2 * MIB)
    slow = roads.slow_seed(scene, 0.3)
    proc = start(t, scene, "-i", "vpn0", "--stall-timeout", "5s")
    scene.wait_requests(slow, 3, proc)
    roads.vpn.remove()
    proc.expect(6, 40)
    roads.watch_open.nothing()


@test(deadline=40, needs=NEEDS, quick=True)
def test_one_that_is_not_there_is_a_usage_error(t):
    scene = Scene(t, 64 * KIB)
    ip("link", "add", "idle0", "type", "veth", "peer", "name", "idle1")
    for name, why in (("vpn7", "there is no interface 'vpn7'"),
                      ("10.61.0.9", "no interface has the address 10.61.0.9"),
                      ("fd61::9", "no interface has the address fd61::9"),
                      ("idle0", "the interface 'idle0' is down")):
        proc = t.btget("-i", name, "-d", scene.target, scene.file)
        proc.expect(2, 20)
        assert proc.err() == "btget: --interface: %s\n" % why, proc.err()
        assert not proc.out(), proc.out()
    assert not scene.tracker.announces


@test(deadline=60, needs=NEEDS, quick=True)
def test_a_family_that_it_lacks_is_not_used(t):
    roads = Roads(t, families=(4,), open_families=(4, 6))
    with roads.open.inside():
        scene = Scene(t, 256 * KIB, host=SERVER6)
        six = scene.seed(host=SERVER6)
    with roads.vpn.inside():
        four = scene.seed(host=SERVER)
    # The tracker has an IPv6 address alone; peers of both kinds are given.
    proc = start(t, scene, "-i", "vpn0", "--seed-time", "3s", "-P",
                 "[%s]:%d" % six.where, "-P", "%s:%d" % four.where)
    proc.expect(0, 40)
    assert six.connections == 0 and not scene.tracker.announces
    roads.watch_open.nothing()


@test(deadline=60, needs=NEEDS)
def test_ipv6_alone(t):
    roads = Roads(t, families=(6,), open_families=(4, 6))
    scene = roads.scene(size=256 * KIB, host=SERVER6)
    roads.seed(scene, host=SERVER6)
    start(t, scene, "-i", "vpn0").expect(0, 40)
    scene.check()
    roads.watch_open.nothing()
    assert scene.tracker.of(scene.torrent)


@test(deadline=60, needs=NEEDS + ("mount",), quick=True)
def test_a_name_server_elsewhere_is_told_of(t):
    roads = Roads(t)
    scene = roads.scene(size=64 * KIB)
    conf = t.path("resolv.conf")
    sample.write_file(conf, b"")
    subprocess.run(["mount", "--bind", conf, "/etc/resolv.conf"], check=True)
    t.at_end.append(lambda: subprocess.run(["umount", "/etc/resolv.conf"],
                                           check=True))
    roads.seed(scene)
    for server, told in ((roads.open.address(2), True),
                         (roads.vpn.address(2), False), ("::1", False)):
        with open(conf, "w") as out:
            out.write("nameserver %s\n" % server)
        proc = start(t, scene, "-i", "vpn0", "-d", t.folder(server))
        proc.expect(0, 30)
        assert ("names are looked up by %s, which is not asked by the "
                "interface vpn0" % server in proc.err()) == told, proc.err()
    assert "goes its own way" in proc.err(), proc.err()
    roads.watch_open.nothing()
