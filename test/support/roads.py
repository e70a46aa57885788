"""roads: more than one way out of the test's network, and who takes which.

A Road is a pair of veth interfaces; the far end is in a network namespace of
its own, where servers are made with `with road.inside():` (a socket stays in
the namespace that it was made in). On each far side the same address, SERVER
and SERVER6, can be reached: by which road, only the routes of the test's
namespace say. A Watch takes down every packet on an interface.
"""
import contextlib
import os
import socket
import struct
import subprocess
import threading

import harness
import namespaces

SERVER, SERVER6 = "10.50.0.2", "fd50::2"
NET, NET6 = "10.50.0.0/24", "fd50::/64"
LSD_GROUPS = (socket.inet_aton("239.192.152.143"),
              socket.inet_pton(socket.AF_INET6, "ff15::efc0:988f"))
ETH_P_ALL, OUTGOING, RST, UNREACHABLE = 3, 4, 4, 3
TCP, UDP, ICMP6 = 6, 17, 58
NAMES = {TCP: "tcp", UDP: "udp", 1: "icmp", 2: "igmp", ICMP6: "icmp6"}


def ip(*words, check=True, inside=None):
    enter = ["nsenter", "--target", str(inside), "--net"] if inside else []
    return subprocess.run(enter + ["ip", *words], check=check,
                          stdin=subprocess.DEVNULL, capture_output=True,
                          text=True)


class Road:
    """The near end is called name, and is 10.NUMBER.0.1 and fdNUMBER::1."""

    def __init__(self, t, name, number, families=(4,), metric=100):
        self.t, self.name, self.number = t, name, number
        self.families, self.metric = families, metric
        holder = t.spawn(["unshare", "--net", "sleep", "600"],
                         name="far-" + name)
        self.pid = holder.pid
        own = os.readlink("/proc/self/ns/net")
        where = "/proc/%d/ns/net" % self.pid
        harness.wait_for(lambda: os.readlink(where) != own, 10,
                         "a second network", alive=[holder])
        ip("link", "set", "lo", "up", inside=self.pid)
        ip("addr", "add", SERVER + "/32", "dev", "lo", inside=self.pid)
        ip("addr", "add", SERVER6 + "/128", "dev", "lo", "nodad",
           inside=self.pid)
        self.build()

    def address(self, end, family=4):
        return ("10.%d.0.%d" if family == 4 else "fd%d::%d") % (
            self.number, end)

    def build(self):
        """Makes the interfaces, also anew; the near one gets another number
        than before."""
        far = "far" + self.name
        if ip("link", "add", self.name, "type", "veth", "peer", "name", far,
              check=False).returncode:
            raise harness.Skip("no virtual Ethernet allowed here")
        ip("link", "set", far, "netns", str(self.pid))
        for dev, end, inside in ((self.name, 1, None), (far, 2, self.pid)):
            for family in self.families:
                plain = ["/24"] if family == 4 else ["/64", "nodad"]
                ip("addr", "add", self.address(end, family) + plain[0],
                   "dev", dev, *plain[1:], inside=inside)
            ip("link", "set", dev, "up", inside=inside)
        self.route()

    def route(self):
        if 4 in self.families:
            ip("route", "add", NET, "via", self.address(2), "dev", self.name,
               "metric", str(self.metric))
        if 6 in self.families:
            ip("-6", "route", "add", NET6, "via", self.address(2, 6), "dev",
               self.name, "metric", str(self.metric))

    def down(self):
        ip("link", "set", self.name, "down")

    def up(self):
        """IPv6 addresses and the routes went with the interface."""
        ip("link", "set", self.name, "up")
        if 6 in self.families:
            ip("addr", "replace", self.address(1, 6) + "/64", "dev",
               self.name, "nodad")
        self.route()

    def move(self):
        """The near end has another address, and nothing comes for the one
        that it had."""
        ip("addr", "add", self.address(3) + "/24", "dev", self.name)
        ip("addr", "del", self.address(1) + "/24", "dev", self.name)
        # With the first address of a network the others go as well.
        ip("addr", "replace", self.address(3) + "/24", "dev", self.name)
        ip("route", "replace", NET, "via", self.address(2), "dev", self.name)

    def remove(self):
        ip("link", "delete", self.name)

    @contextlib.contextmanager
    def inside(self):
        """Sockets and threads that are made in here are the far side's."""
        with open("/proc/self/ns/net") as home, \
                open("/proc/%d/ns/net" % self.pid) as there:
            self.enter(there)
            try:
                yield self
            finally:
                self.enter(home)

    @staticmethod
    def enter(namespace):
        if namespaces.LIBC.setns(namespace.fileno(),
                                 namespaces.CLONE_NEWNET) != 0:
            raise OSError("cannot enter a network namespace")

    def spawn(self, argv, **options):
        return self.t.spawn(["nsenter", "--target", str(self.pid), "--net"] +
                            [str(a) for a in argv], **options)


class Packet:
    def __init__(self, frame, out):
        self.out = out
        self.frame = frame
        self.kind, self.to, self.port, self.is_reset = "?", None, None, False
        kind = struct.unpack(">H", frame[12:14])[0]
        if kind == 0x806:
            self.kind = "arp"
            self.to = socket.inet_ntoa(frame[38:42])
        elif kind == 0x800:
            self.take(frame[23], frame[30:34], socket.AF_INET,
                      frame[14 + 4 * (frame[14] & 15):])
        elif kind == 0x86dd:
            self.take(frame[20], frame[38:54], socket.AF_INET6, frame[54:])

    def take(self, protocol, to, family, rest):
        # In front of multicast membership is an option.
        if protocol == 0:
            protocol = rest[0]
        self.kind = NAMES.get(protocol, str(protocol))
        self.to = socket.inet_ntop(family, to)
        if protocol in (TCP, UDP) and len(rest) >= 4:
            self.port = struct.unpack(">H", rest[2:4])[0]
        if protocol == TCP and len(rest) >= 14:
            self.is_reset = bool(rest[13] & RST)
        # "Nobody is at that port", of UDP.
        if NAMES.get(protocol) == "icmp" and rest:
            self.is_reset = rest[0] == UNREACHABLE

    def is_noise(self):
        """What the kernel says by itself of IPv6, whoever runs."""
        return self.kind == "icmp6" and LSD_GROUPS[1] not in self.frame

    def __repr__(self):
        return "%s%s to %s port %s" % (
            self.kind, " reset" if self.is_reset else "", self.to, self.port)


class Watch:
    """Every packet on the interface, from now on."""

    def __init__(self, t, name):
        self.lock = threading.Lock()
        self.packets = []
        self.ending = threading.Event()
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW,
                                    socket.htons(ETH_P_ALL))
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        self.socket.bind((name, ETH_P_ALL))
        self.socket.settimeout(0.1)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        t.at_end.append(self.stop)

    def run(self):
        while not self.ending.is_set():
            try:
                frame, source = self.socket.recvfrom(256)
            except TimeoutError:
                continue
            except OSError:     # the interface is down for now
                self.ending.wait(0.05)
                continue
            if len(frame) >= 42:
                with self.lock:
                    self.packets.append(Packet(frame, source[2] == OUTGOING))

    def stop(self):
        self.ending.set()
        self.thread.join(5)
        self.socket.close()

    def sent(self, **want):
        """What left by it, but for the kernel's own; as far as these
        attributes have these values."""
        with self.lock:
            return [p for p in self.packets
                    if p.out and not p.is_noise() and
                    all(getattr(p, k) == v for k, v in want.items())]

    def nothing(self):
        """Fails if anything left by it, but for resets: the kernel's answer
        to data of a connection that is no more. No socket is left to say
        where it came from, so a reset takes the route that all others take,
        and an Ethernet address is asked for there."""
        sent = self.sent()
        if any(p.is_reset for p in sent):
            sent = [p for p in sent if not p.is_reset and p.kind != "arp"]
        assert not sent, "%d packets left by it, first %r" % (
            len(sent), sent[:5])
