"""Goal: among many slow seeds, which are left alone while a few blocks come,
they all give, little is asked for twice, and what some of them do in
such a rest is noticed."""
import itertools

import peer
from harness import test
from swarm import MIB, Scene

SEEDS = 80			# more than it takes to be many
SIZE = 40 * MIB
DELAY_S = 0.08			# for each block: 200 KiB/s


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


def download(scene, others=()):
    ending = [scene.seed(script) for script in others]
    seeds = [scene.slow_seed(DELAY_S) for _ in range(SEEDS - len(others))]
    scene.download("--max-peers", "100", "--no-dht", "--no-lsd")
    scene.check()
    acted = sum(one.acted.is_set() for one in ending)
    assert acted >= len(ending) * 0.5, "only %d left or choked" % acted
    return seeds


@test(deadline=120, quick=True)
def test_they_all_give(t):
    seeds = download(Scene(t, SIZE, piece_length=MIB))
    # Those that were met late, when nothing was left to ask for, gave none.
    gave = sum(one.sent > 0 for one in seeds)
    assert gave >= SEEDS * 0.75, "%d of %d were asked" % (gave, SEEDS)
    # What is still in flight at the end is asked for a second time.
    sent = sum(one.sent for one in seeds)
    assert sent <= SIZE * 1.25, "%d bytes were sent twice" % (sent - SIZE)


@test(deadline=120, quick=True)
def test_some_leave_and_some_choke(t):
    download(Scene(t, SIZE, piece_length=MIB),
             [seed_that_ends(close)] * 20 +
             [seed_that_ends(choke_for_good)] * 20)
