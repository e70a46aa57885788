"""Goal: on the line of a home, what we send does not delay what we fetch, and
nothing is limited where nothing waits; whoever can be reached by uTP alone,
since nobody there answers TCP, is reached; and a line that was away is used
again as soon as it is back."""
import json
import re
import urllib.parse

import harness
import line
from harness import OFFLINE, Skip, test, wait_for
from line import PORT, address, home, server
from swarm import MIB, Scene

ONLINE = [one for one in OFFLINE if one != "--no-utp"]
TRACKER, US, SEED, LEECH = 0, 1, 2, 3
CUT = "bytes/s are sent for now"
TAKES = "our line takes"


class Street:
    """A tracker, us, a seed and leeches, each on a line of its own."""

    def __init__(self, t, size, *lines, **more):
        why = line.missing()
        if why:
            raise Skip(why)
        self.t = t
        self.lines = line.Lines(line.build(t.path("line")),
                                [server(), *lines])
        t.at_end.append(self.lines.close)
        with self.lines.inside(TRACKER):
            self.scene = Scene(t, size, host=address(TRACKER), **more)

    def btget(self, number, folder, *args, what=None):
        return self.t.spawn(
            self.lines.enter(number) + [
                harness.BTGET, *ONLINE, "-d", folder, "-p", str(PORT), *args,
                what or self.scene.file], name="btget-%d" % number, is_btget=True)

    def seed(self):
        proc = self.btget(SEED, self.scene.source, "-v", "--seed-time", "1h")
        wait_for(lambda: "seeding" in proc.out(), 20, "a seed", alive=[proc])
        return proc

    def leeches(self, count):
        """They live from us; once they are known to the tracker."""
        for number in range(LEECH, LEECH + count):
            self.btget(number, self.t.folder("leech-%d-%d" % (
                self.scene.tracker.port, number)),
                       "--seed-time", "1h")
        wait_for(lambda: {address(n) for n in range(LEECH, LEECH + count)} <=
                 {one.source[0] for one in self.scene.tracker.announces}, 20,
                 "announces")

    def start(self, what=None):
        return self.btget(US, self.scene.target, "-vv", "--progress=json",
                          what=what)

    def finish(self, proc):
        """To its end without a complaint; what it logs."""
        proc.expect(0, 60)
        self.scene.check()
        told = [json.loads(text) for text in proc.out().splitlines()]
        assert told[-1]["code"] == 0, told[-1]
        assert not [one for one in told if one["event"] == "warning"], told
        return proc.err()

    def download(self):
        return self.finish(self.start())


# Only we reach the seed.
ONE_FRIEND = {"only": (TRACKER, US)}


@test(deadline=100, needs=line.NEEDS)
def test_what_we_send_leaves_room_for_what_we_fetch(t):
    street = Street(t, 8 * MIB, home(up_queue=300000),
                    home(up=4, **ONE_FRIEND), home(), home(), home())
    street.seed()
    street.leeches(3)
    log = street.download()
    assert TAKES in log, log


@test(deadline=100, needs=line.NEEDS)
def test_nothing_is_limited_where_nothing_waits(t):
    """Again, where packets waited for the machine that carries them."""
    wide = home(up=40, down=40)
    for _ in range(5):
        street = Street(t, 6 * MIB, wide, home(up=8, **ONE_FRIEND), wide,
                        wide)
        street.seed()
        street.leeches(2)
        log = street.download()
        if CUT not in log and TAKES not in log:
            return
        assert street.lines.were_late(), log
        street.lines.close()
        for proc in t.procs:
            proc.kill_group()
    raise AssertionError(log)


@test(deadline=60, needs=line.NEEDS, quick=True)
def test_a_seed_that_hears_no_tcp_is_reached_by_utp(t):
    street = Street(t, MIB, home(), home(up=8, nosyn=True))
    street.seed()
    log = street.download()
    assert ", by uTP" in log, log


def done(proc):
    return int((re.findall(r'"done":(\d+),', proc.out()) or [0])[-1])


def break_and_mend(street, both):
    """The line between these two breaks while data comes, and one of them
    calls the other. TCP or uTP alone try again after a pause as long as it was
    away, which may be just then: three tries."""
    us = both[1]

    def told(what):
        return sum(one.err().count(what) for one in both)
    for _ in range(3):
        before, hung = done(us), told("hangs: nothing")
        wait_for(lambda n=before: done(us) > n, 30, "data", alive=both)
        street.lines.break_or_mend()
        wait_for(lambda n=hung: told("hangs: nothing") > n, 30,
                 "the silence", alive=both)
        before = done(us)
        street.lines.break_or_mend()
        wait_for(lambda n=before: told("answers a new call") or done(us) > n,
                 30, "news", alive=both)
        if told("answers a new call"):
            break
    street.finish(us)
    assert told("answers a new call"), us.err()


@test(deadline=150, needs=line.NEEDS)
def test_a_line_that_was_away_is_used_at_once(t):
    street = Street(t, 4 * MIB, home(), home(up=4, nosyn=True, breaks=True))
    break_and_mend(street, [street.seed(), street.start()])


@test(deadline=150, needs=line.NEEDS)
def test_so_it_is_while_metadata_comes(t):
    files = [("%04d-%s" % (i, "x" * 180), 1) for i in range(3000)]
    street = Street(t, None, home(), home(up=0.6, breaks=True), files=files)
    seed, scene = street.seed(), street.scene
    link = "magnet:?xt=urn:btih:%s&tr=%s" % (
        scene.torrent.hex, urllib.parse.quote(scene.tracker.url, ""))
    break_and_mend(street, [seed, street.start(link)])
