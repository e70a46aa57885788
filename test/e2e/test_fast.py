"""Goal: where blocks come faster than one thread takes them, large buffers go
round and another thread writes; nothing is lost or mixed up on that way,
whatever ends it."""
import os
import re
import signal

from harness import test, wait_for
from swarm import MIB, Scene
from test_disk import mount, one_line, small_disk

SIZE = 128 * MIB


def threads(pid):
    found = []
    for task in os.listdir("/proc/%d/task" % pid):
        try:
            with open("/proc/%d/task/%s/comm" % (pid, task),
                      encoding="utf-8") as name:
                found.append(name.read().strip())
        except OSError:
            pass
    return found


def wait_writer(proc):
    """The thread stays until the end of the torrent."""
    wait_for(lambda: "write" in threads(proc.pid), 30,
             "the thread that writes", alive=[proc])


class Fast(Scene):
    """Seeds that give all they can, on a torrent of some size."""

    def __init__(self, t, seeds=1, **more):
        super().__init__(t, SIZE, piece_length=more.pop("piece", MIB), **more)
        self.to = []
        for number in range(seeds):
            folder = t.folder("seed-%d" % number)
            os.link(self.path, os.path.join(folder, self.torrent.name))
            seed = t.seed(self.file, folder)
            self.to += ["-P", "127.0.0.1:%d" % seed.port]

    def start(self, *args, **options):
        return super().start(*self.to, *args, **options)


def complete(t, seeds, **more):
    """With proof that it was done by the thread that writes."""
    scene = Fast(t, seeds, **more)
    proc = scene.start("--seed-time", "1h")
    wait_writer(proc)
    wait_for(lambda: "seeding" in proc.out(), 60, "seeding", alive=[proc])
    scene.check()
    proc.signal(signal.SIGTERM)
    proc.wait()


@test(deadline=120, quick=True)
def test_one_seed(t):
    complete(t, 1)


@test(deadline=120, quick=True)
def test_several_seeds(t):
    complete(t, 6, piece=MIB // 4)


@test(deadline=120, needs="namespaces", quick=True)
def test_a_disk_that_fills_loses_nothing(t):
    scene = Fast(t, 2)
    small_disk(scene, SIZE // 2)
    proc = scene.start("--allocation", "none")
    proc.expect(4)
    assert "space" in one_line(proc).lower()
    mount("-o", "remount,size=%d" % (2 * SIZE), scene.target)
    out = scene.start("--allocation", "none").expect(0).out()
    begun = int(re.search(r"started at (\d+)%", out).group(1))
    assert 40 <= begun <= 50, out
    scene.check()


def ended_and_begun_again(t, number):
    scene = Fast(t, 2)
    proc = scene.start("--seed-time", "1h")
    wait_writer(proc)
    proc.signal(number)
    proc.wait()
    scene.download()
    scene.check()


@test(deadline=120)
def test_killed_and_begun_again(t):
    ended_and_begun_again(t, signal.SIGKILL)


@test(deadline=120)
def test_stopped_and_begun_again(t):
    ended_and_begun_again(t, signal.SIGTERM)
