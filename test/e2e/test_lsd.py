"""Goal: peers of the same local network find each other by multicast, over
IPv4 and IPv6, on every interface that is up; and never for a private
torrent, or with --no-lsd. Each test has a network of its own; a pair of veth
interfaces leads to a second one."""
import os
import struct
import subprocess

import clients
import sample
from harness import BTGET, OFFLINE, SLOW, Skip, free_port, test, wait_for
from roads import Road, Watch
from swarm import Scene

ONLINE = [one for one in OFFLINE if one != "--no-lsd"]
KIB = 1 << 10
GROUP, GROUP6, PORT = "239.192.152.143", "ff15::efc0:988f", 6771


def ip(*words, check=True):
    return subprocess.run(["ip"] + list(words), check=check,
                          stdin=subprocess.DEVNULL, capture_output=True,
                          text=True)


def wire(t, *families):
    """Two interfaces joined by a wire; the far one is in a namespace of its
    own, whose process id is returned."""
    holder = t.spawn(["unshare", "--net", "sleep", "600"], name="far")
    far = str(holder.pid)
    own = os.readlink("/proc/self/ns/net")
    wait_for(lambda: os.readlink("/proc/%s/ns/net" % far) != own, 10,
             "a second network", alive=[holder])
    if ip("link", "add", "near0", "type", "veth", "peer", "name", "far0",
          check=False).returncode:
        raise Skip("no virtual Ethernet allowed here")
    ip("link", "set", "far0", "netns", far)
    enter = ["nsenter", "--target", far, "--net", "ip"]
    for side, words in (("near0", ["ip"]), ("far0", enter)):
        number = "1" if side == "near0" else "2"
        if 4 in families:
            subprocess.run(words + ["addr", "add", "10.99.0.%s/24" % number,
                                    "dev", side], check=True)
        if 6 in families:
            subprocess.run(words + ["addr", "add", "fd99::%s/64" % number,
                                    "dev", side, "nodad"], check=True)
        for name in (side, "lo"):
            subprocess.run(words + ["link", "set", name, "up"], check=True)
    return far


def far_words(far):
    return ["nsenter", "--target", far, "--net"]


def start_far(t, far, *args):
    """A btget on the other side of the wire."""
    return t.spawn(far_words(far) + [BTGET] + ONLINE + [str(a) for a in args],
                   name="btget-far", is_btget=True)


def scene_of(t, **more):
    return Scene(t, size=256 * KIB, announce=None, **more)


def start(t, scene, folder, *args):
    return t.btget(*ONLINE, "-v", "-d", folder, "-p", free_port(), *args,
                   scene.file, plain=True)


def meet(t, far):
    scene = scene_of(t)
    seed = start_far(t, far, "-d", scene.source, "-p", 7001, "--seed-time",
                     "1h", scene.file)
    one = start(t, scene, scene.target)
    wait_for(lambda: not one.running(), 40, "the download", alive=[seed])
    one.expect(0)
    scene.check()
    return one


@test(deadline=80, needs=("namespaces", "nsenter"))
def test_two_meet_over_ipv4(t):
    meet(t, wire(t, 4))


@test(deadline=80, needs=("namespaces", "nsenter"))
def test_two_meet_over_ipv6(t):
    meet(t, wire(t, 6))


@test(deadline=100, needs=("namespaces", "nsenter", "libtorrent"))
def test_libtorrent_hears_us(t):
    far = wire(t, 4)
    scene = scene_of(t)
    port = free_port()
    other = t.spawn([sample.SYSTEM_PYTHON,
                     os.path.join(os.path.dirname(clients.__file__),
                                  "lt_client.py"), "run", "--lsd", "--closed",
                     "--dir", scene.target, "--host", "10.99.0.1", "--port", port,
                     scene.file], name="libtorrent")
    # We announce it once, a second after the start.
    wait_for(lambda: '"state"' in other.out(), 20, "libtorrent",
             alive=[other])
    seed = start_far(t, far, "-v", "-d", scene.source, "-p", 7001,
                     "--seed-time", "1h", scene.file)
    wait_for(lambda: '"seeding": true' in other.out(), 80,
             "libtorrent's download", alive=[seed, other])
    assert "came in" in seed.err(), seed.err()
    scene.check()


@test(deadline=100, needs=("namespaces", "nsenter", "libtorrent"))
def test_we_hear_libtorrent(t):
    far = wire(t, 4)
    scene = scene_of(t)
    one = start_far(t, far, "-v", "-d", scene.target, "-p", 7001, scene.file)
    wait_for(lambda: "started" in one.err(), 20, "the start", alive=[one])
    other = t.spawn([sample.SYSTEM_PYTHON,
                     os.path.join(os.path.dirname(clients.__file__),
                                  "lt_client.py"), "run", "--lsd",
                     "--passive", "--dir", scene.source, "--host",
                     "10.99.0.1", "--port", free_port(), scene.file],
                    name="libtorrent")
    wait_for(lambda: not one.running(), 80, "the download", alive=[other])
    one.expect(0)
    assert "(lsd): connected" in one.err(), one.err()
    scene.check()


@test(deadline=60, needs=("namespaces", "nsenter"))
def test_every_interface_and_family_is_told(t):
    roads = [Road(t, "near0", 41, (4, 6)),
             Road(t, "near1", 42, (4, 6), 200)]
    watches = [Watch(t, road.name) for road in roads]
    scene = scene_of(t)
    one = start(t, scene, scene.target)

    def told():
        return all(any(scene.torrent.hex[:20].encode() in packet.frame.lower()
                       for packet in watch.sent(kind="udp", to=to, port=PORT))
                   for watch in watches for to in (GROUP, GROUP6))
    wait_for(told, 40, "four announces", alive=[one])


class Ear:
    """Hears the announces that leave through the near interface."""

    def __init__(self, t, far):
        code = ("import socket,struct,sys\n"
                "s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\n"
                "s.bind(('%s',%d))\n"
                "s.setsockopt(socket.IPPROTO_IP,socket.IP_ADD_MEMBERSHIP,"
                "struct.pack('4s4s',socket.inet_aton('%s'),"
                "socket.inet_aton('10.99.0.2')))\n"
                "print('ready',flush=True)\n"
                "while True:\n"
                "    print(s.recv(2048).decode('latin-1'),flush=True)\n" %
                (GROUP, PORT, GROUP))
        self.proc = t.spawn(far_words(far) + ["python3", "-c", code],
                            name="ear")
        wait_for(lambda: "ready" in self.proc.out(), 20, "an ear",
                 alive=[self.proc])

    def heard(self, scene):
        return scene.torrent.hex in self.proc.out().lower()


@test(deadline=60, needs=("namespaces", "nsenter"))
def test_private_and_unwilling_torrents_are_silent(t):
    far = wire(t, 4)
    ear = Ear(t, far)
    private = scene_of(t, info={"private": 1})
    public = scene_of(t, name="other.bin")
    start(t, private, private.target, "--deadline", "4s").expect(5, 20)
    t.btget(*OFFLINE, "-d", public.target, "-p", 0, "--deadline", "4s",
            public.file, plain=True).expect(5, 20)
    assert not ear.heard(private), "a private torrent was told"
    assert not ear.heard(public), "--no-lsd was told"
    start(t, public, public.target, "--deadline", "%g" % (4 * SLOW)).expect(
        5, 20)
    assert ear.heard(public), "the test is deaf"


@test(deadline=60, needs=("namespaces", "nsenter"))
def test_what_is_heard_of_strangers_is_bounded(t):
    """Ten thousand announces, half of them garbage: it goes on."""
    far = wire(t, 4)
    scene = scene_of(t)
    one = start(t, scene, scene.target, "--deadline", "8s")
    wait_for(lambda: "started" in one.err(), 20, "the start", alive=[one])
    code = ("import os,socket,struct\n"
            "s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\n"
            "s.setsockopt(socket.IPPROTO_IP,socket.IP_MULTICAST_IF,"
            "socket.inet_aton('10.99.0.2'))\n"
            "for i in range(10000):\n"
            "    t='BT-SEARCH * HTTP/1.1\\r\\nPort: %%d\\r\\nInfohash: %s"
            "\\r\\n\\r\\n' %% (1 + i %% 65000)\n"
            "    d=t.encode() if i %% 2 else os.urandom(i %% 1400)\n"
            "    s.sendto(d,('%s',%d))\n" % (scene.torrent.hex, GROUP, PORT))
    t.run(far_words(far) + ["python3", "-c", code], name="noise")
    one.expect(5, 30)
    assert one.peak() < 200 << 10
