"""Goal: what appears in the watched folder is downloaded once it is whole,
whatever else lies there and whatever becomes of the folder; and the run ends
only when it is told to."""
import os
import shutil
import signal
import time

import sample
from harness import SANITIZED, SLOW, children, read_text, test, wait_for
from swarm import MIB, Scene
from test_magnet import only_metadata


class Watched:
    def __init__(self, t, *args, **options):
        self.t = t
        self.inbox = t.folder("inbox")
        self.target = t.path("target")
        self.log = options.pop("log", t.path("watch.log"))
        self.proc = t.btget("-d", self.target, "-p", "0", "-l", self.log,
                            "--watch", self.inbox, *args, **options)
        wait_for(lambda: "watching" in read_text(self.log), 10, "its start",
                 alive=[self.proc])

    def put(self, scene, name):
        """As a careful writer does: under another name, then renamed."""
        scene.target = self.target
        aside = os.path.join(self.inbox, "." + name)
        shutil.copyfile(scene.file, aside)
        os.rename(aside, os.path.join(self.inbox, name))

    def wait(self, scene, seconds=20):
        wait_for(lambda: os.path.exists(scene.result), seconds,
                 scene.torrent.name, alive=[self.proc])
        scene.check()

    def end(self, number=signal.SIGTERM):
        self.proc.signal(number)
        self.proc.expect(128 + number, 15)


def make(t, name, **more):
    scene = Scene(t, MIB, name=name, seed=name, **more)
    scene.seed()
    return scene


@test(quick=True)
def test_files_are_taken_as_they_come(t):
    first, second = make(t, "one"), make(t, "two")
    watched = Watched(t)
    watched.put(first, "first.torrent")
    watched.wait(first)
    watched.put(second, "second.torrent")
    watched.wait(second)
    assert sorted(os.listdir(watched.inbox)) == \
        ["first.torrent", "second.torrent"]
    assert watched.proc.err() == "", watched.proc.err()
    watched.end()


@test(quick=True)
def test_int_ends_it_with_130_and_a_restart_takes_all_again(t):
    scene = make(t, "one")
    watched = Watched(t)
    watched.put(scene, "a.torrent")
    watched.wait(scene)
    watched.end(signal.SIGINT)
    os.remove(watched.log)
    asked = len(scene.tracker.requests)
    watched = Watched(t, "--progress=json")
    wait_for(lambda: '"complete"' in watched.proc.out(), 10, "complete",
             alive=[watched.proc])
    watched.end()
    assert len(scene.tracker.requests) == asked, "it asked the tracker"


@test(quick=True)
def test_a_slow_writer_is_waited_for(t):
    scene = make(t, "one")
    watched = Watched(t)
    scene.target = watched.target
    raw = scene.torrent.raw
    with open(os.path.join(watched.inbox, "a.torrent"), "wb") as out:
        for at in range(0, len(raw), len(raw) // 3 + 1):
            out.write(raw[at:at + len(raw) // 3 + 1])
            out.flush()
            time.sleep(1.2)
    watched.wait(scene)
    assert watched.proc.err() == "", watched.proc.err()
    watched.end()


@test(quick=True)
def test_bad_files_are_told_of_and_hold_nobody_up(t):
    scene = make(t, "one")
    watched = Watched(t, "-q")
    sample.write_file(os.path.join(watched.inbox, "bad.torrent"), b"junk")
    sample.write_file(os.path.join(watched.inbox, "bad.magnet"), b"junk")
    sample.write_file(os.path.join(watched.inbox, "two.magnet"),
                      b"magnet:?xt=urn:btih:%s\n" % (b"a" * 40) * 2)
    os.mkdir(os.path.join(watched.inbox, "folder.torrent"))
    os.mkfifo(os.path.join(watched.inbox, "fifo.torrent"))
    os.symlink("/dev/zero", os.path.join(watched.inbox, "zero.torrent"))
    watched.put(scene, "z.torrent")
    watched.wait(scene)
    time.sleep(1.5)
    lines = sorted(watched.proc.err().splitlines())
    assert len(lines) == 3, lines
    assert lines[0] == "btget: bad.magnet: it does not hold one magnet " \
        "link", lines
    assert lines[1].startswith("btget: bad.torrent: "), lines
    assert lines[2].startswith("btget: two.magnet: "), lines
    watched.end()


def take_magnet(t, text):
    scene = make(t, "one")
    scene.plant(t.path("seed"), range(scene.torrent.piece_count))
    seed = t.seed(scene.file, t.path("seed"))
    # Peers of the command line are for torrents that come later, too.
    watched = Watched(t, "-P", "127.0.0.1:%d" % seed.port)
    scene.target = watched.target
    time.sleep(0.5)
    sample.write_file(os.path.join(watched.inbox, "a.magnet"),
                      text % scene.torrent.hex.encode())
    watched.wait(scene)
    watched.end()


@test(quick=True)
def test_a_magnet_file(t):
    take_magnet(t, b"# from a friend\n\n magnet:?xt=urn:btih:%s \r\n")


@test(quick=True)
def test_a_magnet_file_that_begins_with_the_mark_of_utf_8(t):
    take_magnet(t, b"\xef\xbb\xbfmagnet:?xt=urn:btih:%s\r\n")


@test(quick=True)
def test_magnets_that_select_files_select_all_of_these(t):
    """The first one is begun, and its file complete, when the other comes."""
    scene = Scene(t, files=[("a", 50000), ("b", 50000), ("c", 50000)])
    t.seed(scene.file, scene.source)
    watched = Watched(t, "--seed-time", "1h")
    scene.target = watched.target
    for number in (0, 2):
        sample.write_file(os.path.join(watched.inbox, "%d.magnet" % number),
                          b"magnet:?xt=urn:btih:%s&so=%d&tr=%s" % (
                              scene.torrent.hex.encode(), number,
                              scene.tracker.url.encode()))
        name = os.path.join(scene.result, "ac"[number // 2])
        wait_for(lambda: os.path.exists(name), 20, name,
                 alive=[watched.proc])
        wait_for(lambda: watched.proc.out().count("seeding") > number // 2,
                 20, "seeding", alive=[watched.proc])
    for name in ("a", "c"):
        sample.assert_same(os.path.join(scene.path, name),
                           os.path.join(scene.result, name))
    assert sorted(os.listdir(scene.result)) == ["a", "c"]
    assert watched.proc.err() == "", watched.proc.err()
    watched.end()


@test(quick=True)
def test_the_first_magnet_of_a_private_torrent_has_its_trackers(t):
    """Also when another one selects more of it, and knows none."""
    scene = Scene(t, files=[("a", 50000), ("b", 50000)], info={"private": 1})
    only_metadata(scene)
    scene.seed()
    watched = Watched(t, "--seed-time", "1h")
    scene.target = watched.target
    for number, more in enumerate(("&tr=" + scene.tracker.url, "")):
        sample.write_file(
            os.path.join(watched.inbox, "%d.magnet" % number),
            b"magnet:?xt=urn:btih:%s&so=%d%s" % (
                scene.torrent.hex.encode(), number, more.encode()))
        wait_for(lambda: watched.proc.out().count("seeding") > number, 20,
                 "seeding", alive=[watched.proc])
    scene.check()
    watched.end()


@test(quick=True)
def test_the_torrent_of_a_dead_magnet_is_taken(t):
    """It is one torrent: nothing has failed."""
    scene = make(t, "one")
    watched = Watched(t, "--progress=json", "--on-error",
                      "touch " + t.path("failed"))
    sample.write_file(os.path.join(watched.inbox, "a.magnet"),
                      b"magnet:?xt=urn:btih:%s\n" %
                      scene.torrent.hex.encode())
    wait_for(lambda: '"metadata"' in watched.proc.out(), 20, "the search",
             alive=[watched.proc])
    watched.put(scene, "a.torrent")
    watched.wait(scene)
    wait_for(lambda: '"complete"' in watched.proc.out(), 20, "complete",
             alive=[watched.proc])
    watched.end()
    assert watched.proc.out().count('"start"') == 1, watched.proc.out()
    assert watched.proc.err() == "", watched.proc.err()
    assert not os.path.exists(t.path("failed"))


@test(quick=True)
def test_the_folder_goes_and_comes_back(t):
    first, second = make(t, "one"), make(t, "two")
    watched = Watched(t)
    watched.put(first, "a.torrent")
    watched.wait(first)
    shutil.rmtree(watched.inbox)
    wait_for(lambda: "waiting for it" in watched.proc.err(), 15, "warning",
             alive=[watched.proc])
    os.mkdir(watched.inbox)
    watched.put(second, "b.torrent")
    watched.wait(second)
    assert len(watched.proc.err().splitlines()) == 2, watched.proc.err()
    watched.end()


@test(quick=True)
def test_a_torrent_that_failed_is_tried_again_when_touched(t):
    scene = Scene(t, MIB, name="one")
    watched = Watched(t, "--stall-timeout=%g" % (3 * SLOW))
    watched.put(scene, "a.torrent")
    wait_for(lambda: "no peer" in watched.proc.err(), 15, "failure",
             alive=[watched.proc])
    scene.seed()
    os.utime(os.path.join(watched.inbox, "a.torrent"))
    watched.wait(scene)
    watched.end()


@test(quick=True)
def test_a_torrent_that_the_command_on_error_puts_again_is_taken(t):
    """It does not end before the command has, and comes back behind that."""
    scene, later = Scene(t, MIB, name="one"), make(t, "two")
    touched, may_end = t.path("touched"), t.path("may-end")
    watched = Watched(t, "--stall-timeout=%g" % (3 * SLOW), "--on-error",
                      "touch '%s' '%s'; until [ -e '%s' ]; do sleep .1; done"
                      % (os.path.join(t.path("inbox"), "a.torrent"), touched,
                         may_end))
    watched.put(scene, "a.torrent")
    wait_for(lambda: os.path.exists(touched), 15, "the command",
             alive=[watched.proc])
    watched.put(later, "b.torrent")
    watched.wait(later)         # so the folder has been looked at
    scene.seed()
    sample.write_file(may_end, b"")
    watched.wait(scene)
    watched.end()


@test(quick=True)
def test_hup_opens_the_log_anew(t):
    scene = make(t, "one")
    watched = Watched(t)
    log, old = watched.log, watched.log + ".1"
    os.rename(log, old)
    watched.proc.signal(signal.SIGHUP)
    wait_for(lambda: os.path.exists(log), 10, "another log",
             alive=[watched.proc])
    watched.put(scene, "a.torrent")
    watched.wait(scene)
    wait_for(lambda: "one: complete" in read_text(log), 10, "line in it")
    assert " one: " not in read_text(old)
    # And it still takes two signals to end it at once.
    watched.proc.signal(signal.SIGHUP)
    watched.end()


@test(quick=True)
def test_hup_opens_the_log_in_a_folder_that_is_made_anew(t):
    """It may not write there itself, where there is Landlock."""
    scene = make(t, "one")
    watched = Watched(t, "--on-error", "true",
                      log=os.path.join(t.folder("logs"), "it.log"))
    shutil.rmtree(t.path("logs"))
    watched.proc.signal(signal.SIGHUP)
    wait_for(watched.proc.err, 10, "a warning", alive=[watched.proc])
    assert watched.proc.err() == "btget: cannot open log '%s': No such file " \
        "or directory\n" % watched.log, watched.proc.err()
    t.folder("logs")
    watched.proc.signal(signal.SIGHUP)
    wait_for(lambda: os.path.exists(watched.log), 10, "another log",
             alive=[watched.proc])
    watched.put(scene, "a.torrent")
    watched.wait(scene)
    wait_for(lambda: "one: complete" in read_text(watched.log), 10, "a line")
    # Both helpers end with it, and no signal of ours ends them before.
    helpers = children(watched.proc.pid)
    assert len(helpers) == 2, helpers
    for pid in helpers:
        os.kill(pid, signal.SIGTERM)
    watched.end()
    assert not [pid for pid in helpers if os.path.exists("/proc/%d" % pid)]


@test(quick=True)
def test_hup_opens_the_log_under_nohup_too(t):
    watched = Watched(t, preexec_fn=lambda: signal.signal(
        signal.SIGHUP, signal.SIG_IGN))
    os.rename(watched.log, watched.log + ".1")
    watched.proc.signal(signal.SIGHUP)
    wait_for(lambda: os.path.exists(watched.log), 10, "another log",
             alive=[watched.proc])
    watched.end()


@test(quick=True)
def test_on_error_runs_once_for_a_bad_file(t):
    watched = Watched(t, "--on-error",
                      'echo "$BTGET_NAME|$BTGET_INFO_HASH|$BTGET_EXIT"')
    sample.write_file(os.path.join(watched.inbox, "bad.torrent"), b"junk")
    lines = wait_for(lambda: [
        line for line in watched.proc.err().splitlines()
        if "--on-error" in line], 10, "the command", alive=[watched.proc])
    assert lines == [
        "btget: bad.torrent: --on-error: bad.torrent||3"], lines
    watched.end()
    assert watched.proc.err().count("--on-error") == 1, watched.proc.err()


@test(quick=True)
def test_no_folder_at_the_start_is_4(t):
    run = t.run_btget("-d", t.path("target"), "--watch", t.path("nowhere"),
                      code=4)
    assert run.err() == "btget: cannot watch '%s': No such file or " \
        "directory\n" % t.path("nowhere"), run.err()


@test(quick=True)
def test_hooks_run_for_each(t):
    first, second = make(t, "one"), make(t, "two")
    out = t.path("told")
    watched = Watched(t, "--on-complete", "echo $BTGET_NAME >>" + out)
    watched.put(first, "a.torrent")
    watched.wait(first)
    watched.put(second, "b.torrent")
    watched.wait(second)
    wait_for(lambda: read_text(out) == "one\ntwo\n", 10, "commands")
    watched.end()


BATCH = 60


def anonymous_kib(pid):
    with open("/proc/%d/status" % pid) as status:
        return next(int(line.split()[1]) for line in status
                    if line.startswith("RssAnon:"))


def held(pid):
    """Descriptors and threads, by number."""
    return (len(os.listdir("/proc/%d/fd" % pid)),
            len(os.listdir("/proc/%d/task" % pid)))


def tiny_torrents(t, count):
    torrents = []
    for i in range(count):
        name = "tiny%03d" % i
        path = t.path("full/" + name)
        sample.make_file(path, 20000, name)
        torrent = sample.make_torrent(path, None, 16384)
        torrent.save(t.path("torrents/%s.torrent" % name))
        torrents.append(torrent)
    return torrents


@test(deadline=240, quick=True)
def test_torrents_that_ended_cost_nothing(t):
    """Some hundreds pass through one run, each with connections of its own;
    the displays still tell of each."""
    for name in ("full", "torrents"):
        t.folder(name)
    torrents = tiny_torrents(t, 6 * BATCH)
    files = [t.path("torrents/%s.torrent" % one.name) for one in torrents]
    seed = t.seed(files[0], t.path("full"), *files[1:])
    wait_for(lambda: seed.out().count("seeding") == len(files), 60, "seeds",
             alive=[seed])
    watched = Watched(t, "-P", "127.0.0.1:%d" % seed.port, "-P",
                      "127.0.0.1:9", "--progress=plain")
    sizes, counts = [], []
    for at in range(0, len(files), BATCH):
        for file in files[at:at + BATCH]:
            name = os.path.basename(file)
            os.rename(file, os.path.join(watched.inbox, name))
        wait_for(lambda: watched.proc.out().count(": complete") ==
                 at + BATCH, 60, "batch", alive=[watched.proc, seed])
        wait_for(lambda: held(watched.proc.pid)[1] <= 8, 15, "threads",
                 alive=[watched.proc])
        sizes.append(anonymous_kib(watched.proc.pid))
        counts.append(held(watched.proc.pid))
    for one in torrents:
        assert sample.read_content(os.path.join(watched.target, one.name)) \
            == sample.read_content(t.path("full/" + one.name))
        assert "\n%s: complete" % one.name in "\n" + watched.proc.out()
    # What the first batches need stays for the next ones.
    grown = (sizes[-1] - sizes[1]) / (4 * BATCH)
    assert SANITIZED or grown < 8, "%.1f KiB for each: %s" % (grown, sizes)
    # Its last connections may be about to close.
    wait_for(lambda: held(watched.proc.pid)[0] <= counts[1][0] + 2, 15,
             "descriptors as in %s" % counts, alive=[watched.proc])
    watched.end()
