"""Goal: whatever the disk does, btget says so in one clear line, ends with 4,
loses nothing that was verified, and completes once the cause is mended."""
import os
import re
import resource
import shutil
import signal
import subprocess
import threading

import sample
from harness import BTGET, SANITIZED, Skip, as_nobody, test, wait_for
from preload import library
from swarm import MIB, Scene


def mount(*words):
    subprocess.run(["mount", *words], check=True, stdin=subprocess.DEVNULL)


def small_disk(scene, size):
    os.makedirs(scene.target)
    mount("-t", "tmpfs", "-o", "size=%d" % size, "none", scene.target)
    scene.t.at_end.append(lambda: subprocess.run(
        ["umount", "-l", scene.target]))


def one_line(proc):
    lines = proc.err().splitlines()
    assert len(lines) == 1 and lines[0].startswith("btget: "), proc.err()
    return lines[0]


@test(needs="namespaces", quick=True)
def test_a_full_disk_ends_with_4_and_completes_once_there_is_room(t):
    scene = Scene(t, 4 * MIB)
    scene.seed()
    small_disk(scene, 2 * MIB)
    line = one_line(scene.download(code=4))
    assert "space" in line.lower(), line
    assert not os.path.exists(scene.result)
    mount("-o", "remount,size=%d" % (16 * MIB), scene.target)
    scene.download()
    scene.check()


def three_of(t, size):
    """Torrents for one disk, which has room for two of them."""
    scenes = [Scene(t, size, name="data%d" % n) for n in range(3)]
    small_disk(scenes[0], 2 * size + size // 2)
    for scene in scenes:
        scene.target = scenes[0].target
    return scenes


@test(needs="namespaces", quick=True)
def test_torrents_of_one_run_share_what_is_free(t):
    """The third waits for the others, and then there is no room for it."""
    scenes = three_of(t, 4 * MIB)
    files = [scene.file for scene in scenes]
    held = threading.Event()
    for scene in scenes:
        scene.seed(hold=held)
    run = t.btget("-d", scenes[0].target, "-p", "0", *files)
    line = wait_for(lambda: [n for n in run.err().splitlines()
                             if "it waits for them" in n], 20, "the third",
                    alive=[run])
    assert re.search(r"needs 4.0 MiB, [0-9.]+ MiB free, of which others "
                     r"still need 8.0 MiB\)", line[0]), line
    held.set()
    run.expect(4, 60)
    lines = run.err().splitlines()
    assert len(lines) == 2 and "others" not in lines[1] and \
        "No space left" in lines[1], lines
    assert sum(os.path.exists(scene.result) for scene in scenes) == 2
    mount("-o", "remount,size=%d" % (16 * MIB), scenes[0].target)
    t.run_btget("-d", scenes[0].target, "-p", "0", *files)
    for scene in scenes:
        scene.check()


@test(needs="namespaces", deadline=150)
def test_who_never_comes_keeps_no_other_from_the_room(t):
    """For longer than a minute."""
    dead, good = three_of(t, 4 * MIB)[:2]
    mount("-o", "remount,size=%d" % (6 * MIB), dead.target)
    good.seed()
    run = t.btget("-d", dead.target, "-p", "0", dead.file, good.file)
    wait_for(lambda: os.path.exists(good.result), 90, "the good one",
             alive=[run])
    good.check()


@test(needs="namespaces", quick=True)
def test_who_has_all_needs_no_more_room(t):
    """One after the other, while those before are still seeding."""
    scenes = three_of(t, 2 * MIB)
    watched = t.folder("watched")
    proc = t.btget("-d", scenes[0].target, "-p", "0", "--watch", watched,
                   "--seed-time", "1h")
    for scene in scenes:
        scene.seed()
        shutil.copy(scene.file, os.path.join(watched, "new"))
        os.rename(os.path.join(watched, "new"),
                  os.path.join(watched, scene.torrent.name + ".torrent"))
        if scene != scenes[2]:
            wait_for(lambda one=scene: os.path.exists(one.result), 30,
                     "the final name", alive=[proc])
    wait_for(lambda: "No space left" in proc.err(), 30, "the last one",
             alive=[proc])
    assert "others" not in proc.err(), proc.err()
    proc.signal(signal.SIGTERM)
    proc.expect(143)


@test(quick=True)
def test_on_fat_names_are_what_it_takes(t):
    """In each run, and for the check."""
    t.env["LD_PRELOAD"], t.env["FAULT_FAT"] = library(t), "1"
    scene = Scene(t, files=(("a: b?", MIB), ("sub./A", MIB), ("sub./a", MIB)),
                  name="T|1.")
    scene.seed()
    scene.download()
    made = os.path.join(scene.target, "T_1_")
    assert sorted(os.listdir(made)) == ["a_ b_", "sub_"], os.listdir(made)
    assert sorted(os.listdir(os.path.join(made, "sub_"))) == \
        ["A", "a.btget-3"], os.listdir(os.path.join(made, "sub_"))
    scene.tracker.stop()
    scene.download()
    t.run_btget("check", "-d", scene.target, scene.file)


@test(quick=True)
def test_on_fat_borders_are_kept_without_zeros(t):
    """What pieces on them have of other files, anywhere in the torrent."""
    t.env["LD_PRELOAD"], t.env["FAULT_FAT"] = library(t), "1"
    scene = Scene(t, files=(("a", MIB + 1), ("b", MIB), ("c", MIB),
                            ("d", MIB), ("e", MIB)))
    seed = scene.seed()
    for list_ in ("4", "2,4", "4", "2"):
        scene.download("-f", list_)
    assert sorted(os.listdir(scene.result)) == ["b", "d"]
    assert len(seed.requests) == len(set(seed.requests))
    for name in "b", "d":
        with open(os.path.join(scene.path, name), "rb") as a, \
                open(os.path.join(scene.result, name), "rb") as b:
            assert a.read() == b.read(), name
    # The others get their share once they have their size.
    for list_ in ("1-2", "2,5", "3-"):
        scene.download("-f", list_)
    scene.check()
    assert len(seed.requests) == len(set(seed.requests))
    assert not os.path.exists(scene.state[:-len("state")] + "shares")


@test(quick=True)
def test_data_that_may_not_be_read_is_one_line_and_4(t):
    if os.getuid() != 0:
        raise Skip("only root becomes another user")
    scene = Scene(t, MIB)
    scene.seed()
    os.makedirs(scene.target)
    shutil.copy(scene.path, scene.result)
    os.chmod(scene.target, 0o777)
    os.chmod(scene.result, 0)
    mine = shutil.copy(BTGET, t.path("btget"))
    line = one_line(t.run(
        [mine, "--no-config", "--no-dht", "--no-lsd", "--no-portmap",
         "-d", scene.target, scene.file], code=4, preexec_fn=as_nobody))
    assert line.endswith("cannot read 'data.bin': Permission denied"), line
    os.chmod(scene.result, 0o644)
    scene.download()
    scene.check()


@test(needs="namespaces")
def test_a_disk_that_fills_midway_loses_nothing(t):
    """Another file takes the space while the download runs."""
    scene = Scene(t, 4 * MIB)
    seed = scene.seed_of(60)
    small_disk(scene, 6 * MIB)
    proc = scene.start()
    scene.wait_requests(seed, 61, proc)
    hog = os.path.join(scene.target, "hog")
    with open(hog, "wb") as out:
        try:
            while True:
                out.write(bytes(65536))
                out.flush()
        except OSError:
            pass
    seed.go.set()
    proc.expect(4)
    one_line(proc)
    os.remove(hog)
    scene.download()
    scene.check()
    spare = 16 * scene.torrent.piece_length
    assert seed.sent <= scene.torrent.length + spare, seed.sent


@test(needs="namespaces", quick=True)
def test_full_allocation_fails_before_the_first_byte(t):
    scene = Scene(t, 4 * MIB)
    seed = scene.seed()
    small_disk(scene, 2 * MIB)
    one_line(scene.download("--allocation", "full", code=4))
    assert seed.sent == 0
    mount("-o", "remount,size=%d" % (16 * MIB), scene.target)
    scene.download("--allocation", "full")
    scene.check()


@test(needs="namespaces")
def test_a_read_only_disk_ends_with_4(t):
    scene = Scene(t, MIB)
    scene.seed()
    small_disk(scene, 16 * MIB)
    mount("-o", "remount,ro", scene.target)
    line = one_line(scene.download(code=4))
    assert "Read-only" in line, line
    mount("-o", "remount,rw", scene.target)
    scene.download()
    scene.check()


@test(needs="namespaces", quick=True)
def test_what_is_complete_on_a_read_only_disk_is_complete(t):
    """There is nothing to write, and so nothing to lock."""
    scene = Scene(t, MIB)
    seed = scene.seed()
    small_disk(scene, 16 * MIB)
    scene.download()
    mount("-o", "remount,ro", scene.target)
    before = scene.sent_by(seed)
    assert scene.download().err() == ""
    assert seed.sent == before
    # A link says no more than the .torrent does.
    scene.download(scene.torrent.hex)
    # To seed is to remember what was sent.
    line = one_line(scene.download("--seed-time", "1s", code=4))
    assert "cannot create the lock" in line, line
    mount("-o", "remount,rw", scene.target)
    os.utime(scene.result, (1, 1))
    mount("-o", "remount,ro", scene.target)
    line = one_line(scene.download(code=4))
    assert "cannot create the lock" in line, line


@test(needs="namespaces", quick=True)
def test_a_check_on_a_read_only_disk_needs_no_lock_either(t):
    """Unless something is to be mended."""
    scene = Scene(t, MIB)
    scene.seed()
    small_disk(scene, 16 * MIB)
    scene.download()
    mount("-o", "remount,ro", scene.target)
    run = scene.download("--check")
    assert run.err() == "", run.err()
    mount("-o", "remount,rw", scene.target)
    stat = os.stat(scene.result)
    with open(scene.result, "r+b") as data:
        data.write(bytes(10))
    os.utime(scene.result, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    mount("-o", "remount,ro", scene.target)
    line = one_line(scene.download("--check", code=4))
    assert "1 of its pieces are not right: cannot create the lock" in line, \
        line
    mount("-o", "remount,rw", scene.target)
    scene.download("--check")
    scene.check()


@test(quick=True)
def test_a_file_that_may_not_grow_further_is_one_line(t):
    """`ulimit -f` would end it by a signal, without a word."""
    def limited():
        resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))
    scene = Scene(t, MIB)
    scene.seed()
    line = one_line(scene.download(code=4, preexec_fn=limited))
    assert "File too large" in line, line
    log = sample.make_file(t.path("grown.log"), 70000)
    scene.download("-l", log, "--allocation", "none", code=4,
                   preexec_fn=limited)
    done = t.run_btget("create", "-o", t.path("made.torrent"),
                       "--piece-length", "16K", "--v1", "--no-date",
                       sample.make_file(t.path("wide"), 64 * MIB), code=4,
                       preexec_fn=limited)
    assert "File too large" in one_line(done), done.err()


@test(needs="namespaces")
def test_a_disk_that_turns_read_only_midway_ends_with_4(t):
    scene = Scene(t, 4 * MIB)
    seed = scene.seed_of(60)
    small_disk(scene, 16 * MIB)
    proc = scene.start()
    scene.wait_requests(seed, 61, proc)
    proc.signal(signal.SIGSTOP)
    done = subprocess.run(["mount", "-o", "remount,ro", scene.target],
                          capture_output=True)
    proc.signal(signal.SIGCONT)
    seed.go.set()
    if done.returncode:
        # The kernel refuses while a file is open for writing.
        proc.expect(0)
    else:
        proc.expect(4)
        one_line(proc)
        mount("-o", "remount,rw", scene.target)
        scene.download()
    scene.check()


class Ext4:
    """A file system of its own in a file, on the scene's target, that goes
    read-only when it finds itself in error."""

    def __init__(self, scene, size):
        self.scene = scene
        self.image = scene.t.path("image")
        with open(self.image, "wb") as out:
            out.truncate(size)
        subprocess.run(["mkfs.ext4", "-q", self.image], check=True)
        os.makedirs(scene.target)
        self.mount()
        scene.t.at_end.append(lambda: subprocess.run(
            ["umount", "-l", scene.target], stderr=subprocess.DEVNULL))

    def mount(self):
        done = subprocess.run(
            ["mount", "-o", "loop,errors=remount-ro", self.image,
             self.scene.target], capture_output=True, text=True)
        if done.returncode:
            raise Skip("no loop device: " + done.stderr.strip())

    def fail(self):
        with open("/proc/mounts") as mounts:
            device = next(line.split()[0] for line in mounts
                          if line.split()[1] == self.scene.target)
        assert device.startswith("/dev/loop"), device
        with open("/sys/fs/ext4/%s/trigger_fs_error" %
                  os.path.basename(device), "w") as out:
            out.write("1")

    def mend(self):
        subprocess.run(["umount", self.scene.target], check=True)
        # 1: it had errors, and has none any more.
        assert subprocess.run(["e2fsck", "-fy", self.image],
                              capture_output=True).returncode in (0, 1)
        self.mount()


@test(needs=("namespaces", "mkfs.ext4", "e2fsck"))
def test_a_disk_that_goes_read_only_by_an_error_ends_with_4(t):
    """Whatever files are open then, which a remount does not allow."""
    scene = Scene(t, 4 * MIB)
    seed = scene.seed_of(60)
    disk = Ext4(scene, 32 * MIB)
    proc = scene.start()
    scene.wait_requests(seed, 61, proc)
    disk.fail()
    seed.go.set()
    proc.expect(4)
    one_line(proc)
    one_line(scene.download(code=4))
    disk.mend()
    scene.download()
    scene.check()


@test()
def test_a_folder_that_vanishes_ends_with_4(t):
    scene = Scene(t, 4 * MIB)
    seed = scene.seed_of(60)
    proc = scene.start()
    scene.wait_requests(seed, 61, proc)
    shutil.rmtree(scene.target)
    seed.go.set()
    proc.expect(4)
    one_line(proc)
    scene.download()
    scene.check()


@test()
def test_a_target_that_is_a_file_ends_with_4(t):
    scene = Scene(t, MIB)
    scene.seed()
    sample.write_file(scene.target, b"in the way")
    one_line(scene.download(code=4))


@test()
def test_a_folder_where_the_file_should_be_ends_with_4(t):
    scene = Scene(t, MIB)
    scene.seed()
    os.makedirs(scene.result)
    one_line(scene.download(code=4))
    os.rmdir(scene.result)
    scene.download()
    scene.check()


@test()
def test_a_planted_link_is_not_followed(t):
    """What the link points to stays as it is."""
    scene = Scene(t, files=[("sub/file", 70000), ("other", 70000)])
    scene.seed()
    outside = t.folder("outside")
    os.makedirs(scene.result)
    os.symlink(outside, os.path.join(scene.result, "sub"))
    proc = scene.start("--stall-timeout", "5s")
    proc.wait()
    assert proc.code != 0, "a link was followed"
    assert os.listdir(outside) == [], os.listdir(outside)


@test()
def test_a_planted_hard_link_is_not_written_through(t):
    scene = Scene(t, files=[("a", 100000), ("b", 100000)])
    scene.seed()
    victim = sample.make_file(t.path("victim"), 5000)
    content = open(victim, "rb").read()
    os.makedirs(scene.part)
    os.link(victim, os.path.join(scene.part, "a"))
    line = one_line(scene.download(code=4))
    assert "other hard links" in line, line
    assert open(victim, "rb").read() == content
    os.remove(os.path.join(scene.part, "a"))
    scene.download()
    scene.check()


@test()
def test_two_names_for_one_file_are_not_complete(t):
    """As on a disk that does not tell upper from lower case."""
    scene = Scene(t, files=[("a", 100000), ("b", 100000)])
    scene.seed()
    os.makedirs(scene.part)
    twin = sample.make_file(os.path.join(scene.part, "a"), 0)
    os.link(twin, os.path.join(scene.part, "b"))
    one_line(scene.download(code=4))
    assert not os.path.exists(scene.result)


@test()
def test_a_file_that_appears_meanwhile_is_not_written_to(t):
    scene = Scene(t, files=[("a", 2 * MIB), ("b", MIB)])
    seed = scene.seed_of(20)
    proc = scene.start("--sequential")
    scene.wait_requests(seed, 21, proc)
    sample.make_file(os.path.join(scene.part, "b"), 10)
    seed.go.set()
    proc.expect(4)
    assert "a file of this name has appeared" in proc.err(), proc.err()
    os.remove(os.path.join(scene.part, "b"))
    scene.download()
    scene.check()


@test()
def test_a_planted_fifo_does_not_hang_it(t):
    scene = Scene(t, MIB)
    scene.seed()
    os.makedirs(scene.target)
    os.mkfifo(scene.result)
    one_line(scene.download(code=4, seconds=20))


def few_files():
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))


@test()
def test_it_lives_within_64_descriptors(t):
    scene = Scene(t, files=[("f%03d" % i, 20000) for i in range(200)])
    scene.seed()
    scene.download(preexec_fn=few_files)
    scene.check()


@test()
def test_a_small_stack(t):
    """It grows, if it may; else that is said."""
    if SANITIZED:
        raise Skip("sanitizers want a large stack before main")
    scene = Scene(t, MIB)
    scene.seed()

    def limit(hard):
        resource.setrlimit(resource.RLIMIT_STACK, (65536, hard))

    why = one_line(scene.download(code=1, preexec_fn=lambda: limit(65536)))
    assert "stack" in why and "64 KiB" in why, why
    scene.download(preexec_fn=lambda: limit(1 << 20))
    scene.check()


@test(quick=True)
def test_many_torrents_live_within_64_descriptors(t):
    """Those for which there is no room wait until others have ended."""
    scenes = [Scene(t, files=[("%d-%d" % (n, i), 20000) for i in range(8)],
                    name="data%d" % n) for n in range(5)]
    for scene in scenes:
        scene.seed()
    run = t.run_btget("-d", t.path("all"), "-p", "0",
                      *[scene.file for scene in scenes],
                      preexec_fn=few_files)
    waits = [n for n in run.err().splitlines() if "it waits" in n]
    assert 1 <= len(waits) <= 4 and len(run.err().splitlines()) == \
        len(waits), run.err()
    for scene in scenes:
        sample.assert_same(scene.path, t.path("all", scene.torrent.name))


@test(quick=True)
def test_who_still_waits_at_the_end_is_told_of_once(t):
    files = []
    for n in range(8):
        path = sample.make_file(t.path("all", "data%d" % n), 20000, n)
        torrent = sample.make_torrent(path)
        files.append(torrent.save(t.path("data%d.torrent" % n)))
    proc = t.btget("-d", t.path("all"), "-p", "0", "--seed-time", "1h",
                   "--progress=json", *files, preexec_fn=few_files)
    waits = wait_for(lambda: (
        len(proc.err().splitlines()) + proc.out().count('"complete"') ==
        len(files) and proc.err().splitlines()), 20,
        "a place or a word for each", alive=[proc])
    proc.signal(signal.SIGTERM)
    proc.expect(143)
    assert proc.err().splitlines() == waits, proc.err()


@test()
def test_a_torrent_is_no_dot_file(t):
    """Else one who downloads into his home would find his shell told what to
    do."""
    home = t.folder("home")
    with open(os.path.join(home, ".bashrc"), "w") as out:
        out.write("mine")
    for scene in (Scene(t, 20000, name=".bashrc"),
                  Scene(t, files=[("authorized_keys", 20000)], name=".ssh")):
        scene.seed()
        scene.target = home
        scene.download()
        sample.assert_same(scene.path, os.path.join(
            home, "_" + scene.torrent.name[1:]))
    with open(os.path.join(home, ".bashrc")) as data:
        assert data.read() == "mine"
    assert sorted(os.listdir(home)) == [".bashrc", ".btget", "_bashrc",
                                        "_ssh"]


@test()
def test_names_cannot_leave_the_folder(t):
    """Made safe or refused (3); nothing appears outside the target."""
    for bad in ("..", ".", "", "a/b", "/etc", "../../x", "nul\0byte"):
        scene = Scene(t, files=[("good", 5000)])
        info = dict(scene.torrent.info)
        info[b"files"] = [{b"length": 5000, b"path": [bad.encode(),
                                                      b"file"]}]
        meta = dict(scene.torrent.meta)
        meta[b"info"] = info
        scene.torrent = sample.Torrent(sample.bencode(meta))
        scene.torrent.save(scene.file)
        seed = scene.seed()
        before = set(sample.list_tree(t.dir))
        proc = scene.start("--stall-timeout", "10s")
        proc.wait()
        assert proc.code in (0, 3), "%r: %s %s" % (bad, proc.code,
                                                   proc.err())
        inside = os.path.relpath(scene.target, t.dir) + "/"
        new = [n for n in set(sample.list_tree(t.dir)) - before
               if not n.startswith((inside, "log/"))]
        assert not new, new
        wait_for(lambda: seed.ends or not seed.connections, 10)
