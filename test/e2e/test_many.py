"""Goal: among many slow seeds, which are left alone while a few blocks come,
they all give, little is asked for twice, and what some of them do in
such a rest is noticed."""
import itertools
import time

import peer
from harness import SLOW, test
from swarm import MIB, Scene

SEEDS = 80			# more than it takes to be many
SIZE = 40 * MIB
DELAY_S = 0.08			# for each block: 200 KiB/s


class Gate:
    """Holds every answer until so many were asked, or for 20 s."""

    def __init__(self, count):
        self.count = count
        self.asked = set()
        self.until = time.monotonic() + 20 * SLOW

    def hold(self, one, conn):
        self.asked.add(one)
        while len(self.asked) < self.count and time.monotonic() < self.until:
            conn.linger(0.02)


def seed_behind(gate):
    """Answers as slowly as the others, once the gate is open."""
    def script(one, conn):
        peer.greet(one, conn)

        def answer(index, begin, length):
            gate.hold(one, conn)
            conn.linger(DELAY_S)
            return one.block(index, begin, length)
        peer.serve(one, conn, answer)
    return script


def seed_that_ends(end, blocks=12):
    """Gives that many blocks, as slowly as the others, and then does this."""
    def script(one, conn):
        peer.greet(one, conn)
        count = itertools.count(1)

        def answer(index, begin, length):
            conn.linger(DELAY_S)
            if next(count) > blocks:
                one.acted.set()
                end(one, conn)
            return one.block(index, begin, length)
        peer.serve(one, conn, answer)
    return script


def close(one, conn):
    raise peer.Closed("it leaves")


def choke_for_good(one, conn):
    conn.send(peer.CHOKE)
    while True:
        conn.message()


def download(scene):
    scene.download("--max-peers", "100", "--no-dht", "--no-lsd")
    scene.check()


@test(deadline=120, quick=True)
def test_they_all_give(t):
    scene = Scene(t, SIZE, piece_length=MIB)
    # Some are met late, when little is left to ask for.
    gate = Gate(SEEDS * 3 // 4)
    seeds = [scene.seed(seed_behind(gate)) for _ in range(SEEDS)]
    download(scene)
    gave = sum(one.sent > 0 for one in seeds)
    assert gave >= gate.count, "%d of %d were asked" % (gave, SEEDS)
    # What is still in flight at the end is asked for a second time.
    sent = sum(one.sent for one in seeds)
    assert sent <= SIZE * 1.25, "%d bytes were sent twice" % (sent - SIZE)


@test(deadline=120, quick=True)
def test_some_leave_and_some_choke(t):
    scene = Scene(t, SIZE, piece_length=MIB)
    ending = [scene.seed(seed_that_ends(end))
              for end in [close] * 20 + [choke_for_good] * 20]
    for _ in range(SEEDS - len(ending)):
        scene.slow_seed(DELAY_S)
    download(scene)
    acted = sum(one.acted.is_set() for one in ending)
    assert acted >= len(ending) * 0.5, "only %d left or choked" % acted
