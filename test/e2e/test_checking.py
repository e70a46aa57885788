"""Goal: data of which no state is known is verified once, however often that
is broken off, and --check takes back only what it has found to be wrong."""
import os
import signal

import sample
from harness import SLOW, test, wait_for
from preload import Counted, Hold, library
from swarm import MIB, Scene

# Pieces of the scene below that the first run reads before the rest has to
# wait; the last ones may not be noted yet, one for each thread.
READ = 40
WRONG = 3


class Verification:
    """All is there, a piece of it is wrong, and no state knows of it."""

    def __init__(self, t):
        self.t = t
        self.scene = Scene(t, 4 * MIB)
        self.pieces = self.scene.torrent.piece_count
        assert self.pieces == 64
        self.scene.plant(self.scene.target, set(range(self.pieces)) - {WRONG})

    def begin(self, *args):
        """A run that is held when it has read some of it."""
        hold = Hold(self.t, self.scene.target, "pread", READ + 1)
        run = self.scene.start(*args, env=hold.env)
        hold.wait(run)
        return hold, run

    def go_on(self, seed=None):
        """The next run reads the rest only, and fetches what is wrong."""
        counted = Counted(self.t)
        seed = seed or self.scene.seed()
        self.scene.download(env=counted.env)
        sample.assert_same(self.scene.path, self.scene.result)
        again = counted.counts()["pread"]
        rest = self.pieces - READ
        assert rest <= again <= rest + os.cpu_count(), again
        assert seed.sent <= 2 * self.scene.torrent.piece_length, seed.sent


def interrupted_check(t, scene):
    """A run with --check that INT ends when it has read some of it."""
    hold = Hold(t, scene.target, "pread", READ + 1)
    run = scene.start("--check", env=hold.env)
    hold.wait(run)
    hold.end(run, signal.SIGINT)


def completes_unread(t, scene):
    """The next run trusts all that there is."""
    counted = Counted(t)
    scene.download(env=counted.env)
    scene.check()
    assert counted.counts()["pread"] == 0, counted.counts()


@test(quick=True)
def test_a_verification_that_int_ends_goes_on_in_the_next_run(t):
    one = Verification(t)
    hold, run = one.begin()
    hold.end(run, signal.SIGINT)
    one.go_on()


@test()
def test_a_verification_that_the_deadline_ends_goes_on_in_the_next_run(t):
    one = Verification(t)
    hold, run = one.begin("--deadline", "%g" % (3 * SLOW), "-q")
    wait_for(lambda: "the deadline came" in run.err(), 20, "the deadline",
             [run])
    hold.release()
    run.expect(5)
    one.go_on()


@test(deadline=90)
def test_a_verification_that_kill_9_ends_goes_on_in_the_next_run(t):
    one = Verification(t)
    _, run = one.begin()
    wait_for(lambda: os.path.exists(one.scene.state), 60, "a state", [run])
    run.signal(signal.SIGKILL)
    run.wait()
    one.go_on()


@test()
def test_what_was_verified_is_saved_before_anything_comes(t):
    scene = Scene(t, 4 * MIB)
    scene.plant(scene.target, range(0, 64, 2))
    run = scene.start()
    wait_for(lambda: os.path.exists(scene.state), 30, "a state", [run])
    run.signal(signal.SIGKILL)
    run.wait()
    scene.seed()
    completes_unread(t, scene)


@test()
def test_a_check_that_int_ends_leaves_what_was_known(t):
    scene = Scene(t, 4 * MIB)
    seed = scene.seed()
    scene.download()
    interrupted_check(t, scene)
    sent = seed.sent
    completes_unread(t, scene)
    assert seed.sent == sent


@test()
def test_a_check_of_half_a_download_leaves_what_was_missing(t):
    scene = Scene(t, 4 * MIB)
    scene.plant(scene.target, range(0, 64, 2))
    run = scene.start()
    wait_for(lambda: os.path.exists(scene.state), 30, "a state", [run])
    run.signal(signal.SIGINT)
    run.expect(130)
    interrupted_check(t, scene)
    scene.seed()
    completes_unread(t, scene)


@test()
def test_what_could_not_be_read_is_read_again(t):
    one = Verification(t)
    env = dict(t.env, LD_PRELOAD=library(t), FAULT="pread:%d:EIO:on" %
               (READ + 1))
    run = one.scene.start("--stall-timeout", "1s", env=env)
    run.expect(5)
    assert "cannot read" in run.err(), run.err()
    one.go_on()


@test()
def test_what_was_not_to_be_read_ends_it(t):
    one = Verification(t)
    seed = one.scene.seed()
    env = dict(t.env, LD_PRELOAD=library(t), FAULT="pread:%d:ENOMEM:on" %
               (READ + 1))
    one.scene.start(env=env).expect(4)
    assert seed.sent == 0, seed.sent
    one.go_on(seed)


@test()
def test_a_check_that_int_ends_has_noted_what_is_wrong(t):
    scene = Scene(t, 4 * MIB)
    seed = scene.seed()
    scene.download()
    change_unseen(scene.result, WRONG * scene.torrent.piece_length)
    interrupted_check(t, scene)
    sent = seed.sent
    scene.download()
    scene.check()
    assert seed.sent - sent <= 2 * scene.torrent.piece_length, seed.sent


def change_unseen(path, at):
    """Puts zeros there; its size and time stay."""
    stat = os.stat(path)
    with open(path, "r+b") as data:
        data.seek(at)
        data.write(b"\0" * 10)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


@test()
def test_check_reads_all_whatever_the_state_says(t):
    scene = Scene(t, MIB)
    scene.seed()
    scene.download()
    change_unseen(scene.result, 300000)
    scene.download("--check")
    sample.assert_same(scene.path, scene.result)
