"""nat: networks behind routers, which let nobody in.

The Internet is a bridge, on which the test's own namespace has the address
RELAY. Each router is a namespace on it, and behind each is a Home, another
namespace with one host in it. The kernel translates (nftables): what leaves a
home has the router's address, answers come back in, and all else is stopped,
TCP with a reset and UDP without a word.
"""
import os
import subprocess

import harness
from roads import ip

RELAY = "203.0.113.1"
INTERNET = "internet"
PORT = 6881     # where the hosts behind the routers listen
NEEDS = ("namespaces", "nft", "ip", "nsenter")

RULES = """
table ip shield {
    chain coming {
        type filter hook input priority 0; policy accept;
        iifname "wan" ct state established,related accept
        %(refuse)s
        iifname "wan" drop
    }
    chain passing {
        type filter hook forward priority 0; policy drop;
        %(stop)s
        ct state established,related accept
        iifname "lan" accept
    }
}
table ip translate {
    chain leaving {
        type nat hook postrouting priority 100;
        %(move)s
        oifname "wan" masquerade
    }
}
"""
REFUSE = 'iifname "wan" meta l4proto tcp reject with tcp reset'
NO_TCP = 'meta l4proto tcp reject with tcp reset'
MOVE = 'oifname "wan" udp sport %d snat to %s:%d'


def make_internet():
    if ip("link", "add", INTERNET, "type", "bridge", check=False).returncode:
        raise harness.Skip("no bridge allowed here")
    ip("addr", "add", RELAY + "/24", "dev", INTERNET)
    ip("link", "set", INTERNET, "up")


class Namespace:
    def __init__(self, t, name):
        holder = t.spawn(["unshare", "--net", "sleep", "600"], name=name)
        self.t, self.pid = t, holder.pid
        own = os.readlink("/proc/self/ns/net")
        where = "/proc/%d/ns/net" % self.pid
        harness.wait_for(lambda: os.readlink(where) != own, 10,
                         "another network", alive=[holder])
        self.ip("link", "set", "lo", "up")

    def ip(self, *words):
        return ip(*words, inside=self.pid)

    def enter(self):
        return ["nsenter", "--target", str(self.pid), "--net"]

    def spawn(self, argv, **options):
        return self.t.spawn(self.enter() + [str(a) for a in argv], **options)

    def btget(self, *args, **options):
        return self.spawn([harness.BTGET, *args], is_btget=True,
                          name="btget", **options)


class Home(Namespace):
    """The number tells one from the other. The one host is 192.168.N.2, its
    router 203.0.113.N outside. With tcp=False the router lets no TCP out;
    with port, its UDP comes from there and not from PORT; with silent=True it
    swallows TCP that comes in, too."""

    def __init__(self, t, number, tcp=True, port=None, silent=False):
        router = Namespace(t, "router-%d" % number)
        super().__init__(t, "home-%d" % number)
        self.host = "192.168.%d.2" % number
        self.outside = "203.0.113.%d" % number
        self.port = port or PORT
        self.connect_outside(router, "net%d" % number)
        self.connect_inside(router, number)
        rules = RULES % {
            "refuse": "" if silent else REFUSE,
            "stop": "" if tcp else NO_TCP,
            "move": MOVE % (PORT, self.outside, port) if port else ""}
        subprocess.run(router.enter() + [
            "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"],
            check=True, stdin=subprocess.DEVNULL)
        done = subprocess.run(router.enter() + ["nft", "-f", "-"],
                              input=rules, text=True, capture_output=True)
        if done.returncode:
            raise harness.Skip("no address translation here: " +
                               done.stderr.strip())

    def connect_outside(self, router, name):
        if ip("link", "show", INTERNET, check=False).returncode:
            make_internet()
        if ip("link", "add", name, "type", "veth", "peer", "name", "wan",
              "netns", str(router.pid), check=False).returncode:
            raise harness.Skip("no virtual Ethernet allowed here")
        ip("link", "set", name, "master", INTERNET)
        ip("link", "set", name, "up")
        router.ip("addr", "add", self.outside + "/24", "dev", "wan")
        router.ip("link", "set", "wan", "up")

    def connect_inside(self, router, number):
        router.ip("link", "add", "lan", "type", "veth", "peer", "name", "up0",
                  "netns", str(self.pid))
        router.ip("addr", "add", "192.168.%d.1/24" % number, "dev", "lan")
        router.ip("link", "set", "lan", "up")
        self.ip("addr", "add", self.host + "/24", "dev", "up0")
        self.ip("link", "set", "up0", "up")
        self.ip("route", "add", "default", "via", "192.168.%d.1" % number)
