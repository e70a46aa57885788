"""Goal: on real file systems, with their quotas and with disks that have less
room than they tell, btget ends with 4 and one clear line, loses nothing that
was verified, and calls nothing complete that is not on the disk."""
import os
import re
import shutil
import subprocess

from harness import Skip, test, wait_for
from swarm import MIB, Scene
from test_crash import RENAMES, file_of, traced


def run(*words):
    done = subprocess.run(words, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True)
    assert done.returncode == 0, "%s: %s" % (words, done.stderr)
    return done.stdout


def one_line(proc):
    lines = proc.err().splitlines()
    assert len(lines) == 1 and lines[0].startswith("btget: "), proc.err()
    return lines[0]


def goes_on(scene, seed):
    """What was verified is not fetched again."""
    scene.download()
    scene.check()
    spare = 16 * scene.torrent.piece_length
    assert seed.sent <= scene.torrent.length + spare, seed.sent


class Disk:
    """A file system in a file, mounted on a folder of its own."""

    def __init__(self, t, kind, image, size, options="loop"):
        self.image = image
        self.kind = kind
        self.where = t.folder("disk")
        with open(image, "wb") as out:
            out.truncate(size)
        run("mkfs." + kind, "-q", image)
        self.options = options
        t.at_end.append(lambda: subprocess.run(
            ["umount", "-l", self.where], stderr=subprocess.DEVNULL))

    def mount(self):
        done = subprocess.run(
            ["mount", "-t", self.kind, "-o", self.options, self.image,
             self.where], capture_output=True, text=True)
        if done.returncode:
            raise Skip("cannot mount %s: %s" % (self.kind,
                                                done.stderr.strip()))

    def unmount(self):
        run("umount", self.where)


class Quota:
    """The scene's target is a subvolume that may take so much."""

    def __init__(self, scene, limit="none"):
        self.disk = Disk(scene.t, "btrfs", scene.t.path("image"), 256 * MIB)
        self.disk.mount()
        run("btrfs", "quota", "enable", self.disk.where)
        scene.target = os.path.join(self.disk.where, "mine")
        run("btrfs", "subvolume", "create", scene.target)
        self.group = "0/" + run("btrfs", "inspect-internal", "rootid",
                                scene.target).strip()
        self.limit(limit)

    def limit(self, value):
        # By number: to open what is at its limit may fail.
        run("btrfs", "qgroup", "limit", value, self.group, self.disk.where)


QUOTA = ("namespaces", "mkfs.btrfs", "btrfs")


@test(needs=QUOTA)
def test_a_quota_that_is_reached_midway_loses_nothing(t):
    scene = Scene(t, files=[("a", 3 * MIB), ("b/c", 3 * MIB)])
    seed = scene.slow_seed(0.005)
    quota = Quota(scene, "2M")
    line = one_line(scene.download(code=4))
    assert line.endswith("Disk quota exceeded"), line
    # Now nothing at all can be made, not even a lock.
    one_line(scene.download(code=4))
    assert not os.path.exists(scene.result)
    quota.limit("none")
    goes_on(scene, seed)


@test(needs=QUOTA)
def test_a_quota_that_sinks_midway_loses_nothing(t):
    scene = Scene(t, 6 * MIB)
    seed = scene.seed_of(100)
    quota = Quota(scene)
    proc = scene.start("--allocation", "full")
    scene.wait_requests(seed, 101, proc)
    quota.limit("1M")
    seed.go.set()
    proc.expect(4)
    one_line(proc)
    quota.limit("none")
    goes_on(scene, seed)


@test(needs=QUOTA)
def test_with_full_allocation_a_quota_is_met_before_the_first_byte(t):
    scene = Scene(t, 4 * MIB)
    seed = scene.seed()
    quota = Quota(scene, "2M")
    line = one_line(scene.download("--allocation", "full", code=4))
    assert line.endswith("Disk quota exceeded"), line
    assert seed.sent == 0
    quota.limit("none")
    scene.download("--allocation", "full")
    scene.check()


@test(needs=QUOTA)
def test_a_quota_without_room_for_a_folder_is_one_line(t):
    scene = Scene(t, MIB)
    scene.seed()
    quota = Quota(scene, "16K")
    line = one_line(scene.download(code=4))
    assert line.endswith("Disk quota exceeded"), line
    quota.limit("none")
    scene.download()
    scene.check()


@test(needs=QUOTA)
def test_what_is_complete_is_complete_whatever_the_quota(t):
    """There is nothing to write, and so nothing to lock."""
    scene = Scene(t, 2 * MIB)
    seed = scene.seed()
    quota = Quota(scene)
    scene.download()
    quota.limit("1M")
    before = scene.sent_by(seed)
    assert scene.download().err() == ""
    assert seed.sent == before
    # To seed is to remember what was sent.
    line = one_line(scene.download("--seed-time", "1s", code=4))
    assert "cannot create the lock" in line, line
    # Of a link nothing is known that could be complete.
    line = one_line(t.run_btget(
        "-d", scene.target, "-p", "0", "--deadline", "60s",
        "magnet:?xt=urn:btih:" + "ab" * 20, code=4))
    assert "cannot create the lock" in line, line


def thin_disk(t, room):
    """An ext4 file system that promises much, over memory that has room for
    so many bytes of data."""
    below = t.folder("below")
    run("mount", "-t", "tmpfs", "-o", "size=512M", "none", below)
    t.at_end.append(lambda: subprocess.run(["umount", "-l", below]))
    disk = Disk(t, "ext4", os.path.join(below, "image"), 128 * MIB,
                "loop,errors=continue")
    # It is the data that is to find no room, not the journal.
    journal = re.search(r"EXTENTS:\s*\(.*?\):(\d+)-(\d+)",
                        run("debugfs", "-R", "stat <8>", disk.image))
    if not journal:
        raise Skip("the journal cannot be found")
    size = int(re.search(r"Block size: +(\d+)",
                         run("dumpe2fs", "-h", disk.image))[1])
    first, last = (int(n) for n in journal.groups())
    with open(disk.image, "r+b") as image:
        os.posix_fallocate(image.fileno(), 0, 4 * MIB)
        os.posix_fallocate(image.fileno(), first * size,
                           (last - first + 1) * size)
    disk.mount()
    os.sync()
    used = os.stat(disk.image).st_blocks * 512
    run("mount", "-o", "remount,size=%d" % (used + room), below)
    return disk, below


THIN = ("namespaces", "mkfs.ext4", "debugfs", "dumpe2fs")


def completes(scene, disk):
    proc = scene.start()
    if proc.wait() == 0 or os.path.exists(scene.result):
        return True
    # When its journal was hit as well, ext4 is read-only from then on.
    if "Read-only file system" in proc.err():
        disk.unmount()
        disk.mount()
    return False


def thin(kill):
    """What the disk did not take was in memory when the second run looked;
    it is read from the disk once that is mounted again."""
    @test(needs=THIN, deadline=90)
    def check(t):
        scene = Scene(t, 8 * MIB)
        seed = scene.seed()
        disk, below = thin_disk(t, 4 * MIB)
        scene.target = disk.where
        if kill:
            # Found, but never synced by whoever fetched it.
            shutil.copyfile(scene.path, scene.part)
        one_line(scene.download(code=4))
        run("mount", "-o", "remount,size=512M", below)
        wait_for(lambda: completes(scene, disk), 30)
        disk.unmount()
        disk.mount()
        scene.check()
        before = seed.sent
        scene.download()
        assert seed.sent == before
    return check


test_what_a_failed_sync_has_lost_is_fetched_again = thin(False)
test_what_was_found_but_never_reached_the_disk_is_fetched_again = thin(True)


@test(needs=("namespaces", "strace"))
def test_a_folder_that_is_a_disk_of_its_own_is_synced(t):
    """Of many files, of which not each one is synced."""
    scene = Scene(t, files=[("f%02d" % i, 5000) for i in range(80)])
    scene.seed()
    os.makedirs(scene.result)
    run("mount", "-t", "tmpfs", "none", scene.result)
    t.at_end.append(lambda: subprocess.run(["umount", "-l", scene.result]))
    calls = traced(t, scene)
    scene.check()
    state = [c for c in calls if c.name in RENAMES and c.is_on(".state.new")]
    assert [c for c in calls if c.name == "syncfs" and
            file_of(c) == scene.result and c.over < state[-1].began]
