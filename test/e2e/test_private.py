"""Goal: a private torrent has its peers from its tracker and the user alone:
with everything switched on, no word of it goes to the DHT, to peer exchange,
to local discovery or into hole punching, and what these bring is not
believed; the same where the user leaves them out. The wire is watched; the
same watch on a public torrent shows that it sees."""
import select
import socket
import struct

import peer
import sample
from harness import OFFLINE, free_port, test, wait_for
from roads import Road, Watch
from swarm import MIB, Scene

PORT_MESSAGE = 9
PEX_ID, PEX_ID_OURS = 5, 3
HOLEPUNCH_ID, HOLEPUNCH_ID_OURS = 6, 4
GROUP = ("239.192.152.143", 6771)
SWITCHED = ("--no-dht", "--no-pex", "--no-lsd", "--no-utp")


class Trap:
    """An address that only one way of discovery tells of."""

    def __init__(self, t, host, kind=socket.SOCK_STREAM):
        self.socket = socket.socket(socket.AF_INET, kind)
        self.socket.bind((host, 0))
        if kind == socket.SOCK_STREAM:
            self.socket.listen(8)
        self.where = self.socket.getsockname()
        t.at_end.append(self.socket.close)

    def sprung(self):
        return bool(select.select([self.socket], [], [], 0)[0])


class Rig:
    """Two seeds that speak of everything; a node of the DHT; and a neighbour
    who announces himself. The download takes ten seconds. Whatever btget says
    or believes has a name in EVERYTHING."""

    def __init__(self, t, *words, **info):
        self.road = Road(t, "near0", 41)
        self.scene = Scene(t, 2 * MIB, announce=None, info=info)
        self.said, self.greeted = set(), 0
        self.traps = {
            "a peer by pex": Trap(t, "127.0.0.31"),
            "a peer by lsd": Trap(t, self.road.address(1)),
            "a relay's word": Trap(t, "127.0.0.32", socket.SOCK_DGRAM),
            "a node given": Trap(t, "127.0.0.1", socket.SOCK_DGRAM),
            "a node by PORT": Trap(t, "127.0.0.1", socket.SOCK_DGRAM),
        }
        self.seeds = [self.scene.seed(self.seed, host="127.0.0.%d" % n)
                      for n in (1, 2)]
        self.watch = Watch(t, "near0")
        self.port = free_port()
        self.proc = t.btget(
            *[word for word in OFFLINE if word not in SWITCHED], "-v",
            "-d", self.scene.target, "-p", self.port, "--down-limit", "200K",
            "--dht-node",
            "%s:%d" % self.traps["a node given"].where,
            *words, *[word for one in self.seeds
                      for word in ("-P", "%s:%d" % one.where)],
            self.scene.file, plain=True)

    def seed(self, one, conn):
        conn.handshake(reserved=peer.EXTENSIONS[:7] + b"\x05")
        if conn.reserved[7] & 1:
            self.said.add("the bit of the DHT")
        conn.bitfield(None)
        conn.write(peer.extended(0, sample.bencode(
            {"m": {"ut_pex": PEX_ID, "ut_holepunch": HOLEPUNCH_ID}})))
        conn.send(PORT_MESSAGE, struct.pack(
            ">H", self.traps["a node by PORT"].where[1]))
        self.tell_of(conn, *self.traps["a peer by pex"].where)
        self.have_called(conn, *self.traps["a relay's word"].where)
        self.greeted += 1
        conn.send(peer.UNCHOKE)
        while True:
            kind, payload = conn.message()
            if kind == peer.REQUEST:
                index, begin, length = struct.unpack(">III", payload)
                conn.piece(index, begin, one.block(index, begin, length))
            else:
                self.hear(kind, payload)

    @staticmethod
    def tell_of(conn, host, port):
        """Under btget's number, whether or not it has named that."""
        added = socket.inet_aton(host) + struct.pack(">H", port)
        conn.write(peer.extended(PEX_ID_OURS, sample.bencode(
            {"added": added, "added.f": b"\0"})))

    @staticmethod
    def have_called(conn, host, port):
        conn.write(peer.extended(HOLEPUNCH_ID_OURS, struct.pack(
            ">BB4sHI", 1, 0, socket.inet_aton(host), port, 0)))

    def hear(self, kind, payload):
        if kind == PORT_MESSAGE:
            self.said.add("a PORT message")
        if kind == peer.EXTENDED and payload[0] == PEX_ID:
            self.said.add("a pex message")
        if kind == peer.EXTENDED and payload[0] == 0:
            known = sample.bdecode(payload[1:])[b"m"]
            if b"ut_pex" in known:
                self.said.add("that it knows pex")
            if b"ut_holepunch" in known:
                self.said.add("that it knows hole punching")

    def announce_neighbour(self):
        text = "BT-SEARCH * HTTP/1.1\r\nHost: %s:%d\r\nPort: %d\r\n" \
            "Infohash: %s\r\n\r\n\r\n" % (
                *GROUP, self.traps["a peer by lsd"].where[1],
                self.scene.torrent.hex)
        one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        one.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF,
                       socket.inet_aton(self.road.address(1)))
        one.sendto(text.encode(), GROUP)
        one.close()

    def look(self):
        """What it has said or believed by now."""
        self.announce_neighbour()
        own = b"Port: %d\r\n" % self.port
        if any(p.out and own in p.frame for p in self.watch.packets):
            self.said.add("an announce by lsd")
        return self.said | {name for name, trap in self.traps.items()
                            if trap.sprung()}


EVERYTHING = {
    "a peer by pex", "a peer by lsd", "a node given", "a node by PORT",
    "the bit of the DHT", "a PORT message", "a pex message",
    "that it knows pex", "an announce by lsd", "a relay's word",
    "that it knows hole punching",
}
NEEDS = ("namespaces", "nsenter", "ip")


def silent(rig):
    wait_for(lambda: rig.look() or not rig.proc.running(), 60, "the end")
    assert not rig.look(), rig.look()
    rig.proc.expect(0, 5)
    rig.scene.check()
    assert rig.greeted == 2, rig.greeted


@test(deadline=90, needs=NEEDS)
def test_nothing_is_said_or_believed(t):
    silent(Rig(t, private=1))


@test(deadline=90, needs=NEEDS)
def test_nothing_is_either_where_it_is_switched_off(t):
    silent(Rig(t, *SWITCHED))


@test(deadline=90, needs=NEEDS)
def test_of_a_public_one_all_of_it_is(t):
    """That the test above can fail, and in each point."""
    rig = Rig(t)
    wait_for(lambda: rig.look() == EVERYTHING, 60, "everything: %s" % rig.said,
             alive=[rig.proc])
