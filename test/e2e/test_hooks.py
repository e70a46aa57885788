"""Goal: the user's commands run when they should, once, with the truth in
their environment; what they write and how they end is told; and they never
outlive btget, nor are lost when it dies."""
import os
import signal
import time

import peer
import sample
from harness import SLOW, free_port, read_text, test, wait_for
from preload import Hold, library
from swarm import MIB, Scene

TELL = 'printf "%s|%s|%s|%s|%s\\n" "$BTGET_NAME" "$BTGET_DIR" ' \
    '"$BTGET_PATH" "$BTGET_INFO_HASH" "$BTGET_EXIT"'


def told(scene, proc):
    out = scene.t.path("told")
    return TELL + " >>" + out, lambda: read_text(out)


@test(quick=True)
def test_complete_tells_all(t):
    scene = Scene(t, MIB)
    scene.seed()
    command, out = told(scene, None)
    run = scene.download("--on-complete", command, "--on-error", "exit 1")
    assert out() == "data.bin|%s|%s|%s|0\n" % (
        scene.target, scene.result, scene.torrent.hex), out()
    assert run.err() == "", run.err()


@test(quick=True)
def test_names_are_data(t):
    name = "$(touch x)`id`; \"'\n*"
    scene = Scene(t, MIB, name="plain", seed="x")
    torrent = sample.make_torrent(scene.path, scene.tracker.url, name=name)
    scene.torrent = torrent
    scene.file = torrent.save(t.path("odd.torrent"))
    scene.seed()
    command, out = told(scene, None)
    scene.download("--on-complete", command)
    # On disk the line's end is something else.
    safe = name.replace("\n", "_")
    assert out().startswith(safe + "|" + scene.target), out()
    assert os.path.exists(os.path.join(scene.target, safe))
    assert not os.path.exists(t.path("x"))


@test(quick=True)
def test_it_runs_once(t):
    scene = Scene(t, MIB)
    scene.seed()
    command, out = told(scene, None)
    for _ in range(3):
        scene.download("--on-complete", command)
    assert len(out().splitlines()) == 1, out()


@test(quick=True)
def test_fewer_files_have_not_become_complete(t):
    """Whatever became of the others; more files have."""
    scene = Scene(t, files=[("a", MIB), ("b", MIB), ("c", MIB)])
    scene.seed()
    command, out = told(scene, None)
    scene.download("-f", "1", "--on-complete", command)
    scene.download("-f", "1,2", "--on-complete", command)
    assert len(out().splitlines()) == 2, out()
    os.utime(os.path.join(scene.result, "b"), (1, 1))
    for args in (["-f", "1"], ["-f", "1", "--check"], ["-f", "1"]):
        scene.download(*args, "--on-complete", command)
    assert len(out().splitlines()) == 2, out()
    scene.download("-f", "1,3", "--on-complete", command)
    scene.download("--on-complete", command)
    assert len(out().splitlines()) == 4, out()


@test(quick=True)
def test_what_is_verified_again_has_not_become_complete(t):
    scene = Scene(t, files=[("a", 100000), ("b", 100000)])
    scene.seed()
    command, out = told(scene, None)

    def runs(*args):
        scene.download("--on-complete", command, *args)
        return len(out().splitlines())
    path = os.path.join(scene.result, "a")
    assert runs("-f", "1") == 1
    assert runs("-f", "1", "--check") == 1
    os.utime(path, (1, 1))
    assert runs("-f", "1") == 1
    assert runs("-f", "2") == 2, "another file was fetched"
    assert runs() == 2, "both were complete"
    os.unlink(path)
    assert runs() == 3, "one was fetched again"


class Verified:
    """It was complete, its time has changed, and runs that verify it again are
    broken off."""

    def __init__(self, t):
        self.t = t
        self.scene = Scene(t, 4 * MIB)
        self.seed = self.scene.seed()
        self.command, self.out = told(self.scene, None)
        self.scene.download("--on-complete", self.command)
        os.utime(self.scene.result, (1, 1))

    def cut(self, call, n, number, *args):
        """A run that a signal ends as it is at the n-th such call."""
        hold = Hold(self.t, self.scene.target, call, n)
        run = self.scene.start("--on-complete", self.command, *args,
                               env=hold.env)
        hold.wait(run)
        hold.end(run, number)

    def runs(self):
        """How often the command has run, after one more run."""
        self.scene.download("--on-complete", self.command)
        self.scene.check()
        return len(self.out().splitlines())


@test(quick=True)
def test_a_verification_that_is_broken_off_is_no_download(t):
    one = Verified(t)
    one.cut("pread", 20, signal.SIGTERM)
    one.cut("pread", 10, signal.SIGKILL)
    one.cut("pread", 10, signal.SIGTERM, "--check")
    sent = one.seed.sent
    assert one.runs() == 1, one.out()
    assert one.seed.sent == sent, "something was fetched"
    assert one.runs() == 1


@test(quick=True)
def test_the_end_of_a_verification_that_is_broken_off_is_none(t):
    one = Verified(t)
    # The state is about to be saved: as it is before the end, and for it.
    one.cut("rename", 1, signal.SIGKILL)
    one.cut("rename", 2, signal.SIGKILL)
    assert one.runs() == 1, one.out()


@test(quick=True)
def test_what_a_verification_finds_lost_is_downloaded(t):
    one = Verified(t)
    with open(one.scene.result, "r+b") as data:
        data.seek(60 * one.scene.torrent.piece_length)
        data.write(bytes(10))
    one.cut("pread", 20, signal.SIGTERM)
    sent = one.seed.sent
    assert one.runs() == 2, one.out()
    assert one.seed.sent > sent, "nothing was fetched"


@test(quick=True)
def test_what_was_found_lost_is_downloaded_by_the_next_run(t):
    one = Verified(t)
    with open(one.scene.result, "r+b") as data:
        data.write(bytes(10))
    one.cut("pread", 20, signal.SIGTERM)
    one.cut("pread", 10, signal.SIGTERM)
    assert one.runs() == 2, one.out()


@test(quick=True)
def test_what_was_lost_and_has_come_again_in_a_run_that_died_is_told(t):
    """At any time: the state is saved as it begins, and at its end."""
    for number in range(1, 4):
        one = Verified(t)
        os.unlink(one.scene.result)
        one.cut("rename", number, signal.SIGKILL)
        before = len(one.out().splitlines())
        assert one.runs() == before + 1, number


@test(quick=True)
def test_output_is_told_with_the_name(t):
    scene = Scene(t, MIB)
    scene.seed()
    run = scene.download("--on-complete", "echo one; echo two >&2",
                         "--progress=json")
    assert run.err() == "btget: data.bin: --on-complete: one\n" \
        "btget: data.bin: --on-complete: two\n", run.err()
    assert all(line.startswith("{") for line in run.out().splitlines())


@test(quick=True)
def test_quiet_is_silent_unless_it_fails(t):
    scene = Scene(t, MIB)
    scene.seed()
    run = scene.download("-q", "--on-complete", "echo chatter; exit 9",
                         code=8)
    assert run.out() == "" and run.err() == \
        "btget: data.bin: --on-complete ended with 9: chatter\n", run.err()
    # The data is there all the same, and the next run tries again.
    scene.check()
    run = scene.download("-q", "--on-complete", "echo chatter", code=0)
    assert run.out() == "" and run.err() == "", run.err()
    run = scene.download("-q", "--on-complete", "exit 9", code=0)


@test()
def test_a_command_that_failed_runs_again_on_an_old_kernel(t):
    """Whose faccessat takes no flags."""
    scene = Scene(t, MIB)
    scene.seed()
    scene.download("--on-complete", "exit 9", code=8)
    command, out = told(scene, None)
    scene.download("--on-complete", command, env=dict(
        t.env, LD_PRELOAD=library(t), FAULT="access:1:EINVAL:on"))
    assert out().endswith("|0\n"), out()


@test(quick=True)
def test_errors_run_the_other_command(t):
    scene = Scene(t, MIB)
    command, out = told(scene, None)
    scene.download("--deadline=1", "--on-error", command,
                   "--on-complete", "echo wrong", code=5)
    assert out() == "data.bin|%s|%s.part|%s|5\n" % (
        scene.target, scene.result, scene.torrent.hex), out()
    bad = sample.write_file(t.path("bad.torrent"), b"nonsense")
    os.remove(t.path("told"))
    t.run_btget("-d", scene.target, "--on-error", command, bad, code=3)
    assert out() == "%s|%s|||3\n" % (bad, scene.target), out()
    run = t.run_btget("-d", scene.target, "--on-error", "echo so; exit 4",
                      bad, code=3)
    assert run.err().splitlines()[1:] == [
        "btget: %s: --on-error: so" % bad,
        "btget: %s: --on-error ended with 4: so" % bad], run.err()


@test(quick=True)
def test_the_folder_is_absolute_even_where_it_cannot_be(t):
    """For a torrent, and for what is none."""
    scene = Scene(t, MIB)
    command, out = told(scene, None)
    sample.write_file(t.path("file"), b"in the way")
    bad = sample.write_file(t.path("bad.torrent"), b"nonsense")
    for what, name, code in ((scene.file, "data.bin", 4), (bad, bad, 3)):
        t.run_btget("-d", "file/sub", "--on-error", command, what, code=code)
        assert out().startswith("%s|%s|" % (name, t.path("file", "sub"))), \
            out()
        os.remove(t.path("told"))


@test(quick=True)
def test_what_is_complete_is_no_error(t):
    """What it was downloaded for has been run, and is true: that it is lost
    is told by the exit status."""
    scene = Scene(t, MIB)
    command, out = told(scene, None)
    port = free_port()
    scene.seed()
    scene.download()
    run = scene.start("-p", port, "--seed-time", "1h", "--on-error", command)
    wait_for(lambda: "seeding" in run.out(), 20, "seeding", alive=[run])
    os.unlink(scene.result)
    peer.Dialer(t, scene.torrent, ("127.0.0.1", port), peer.good_leech)
    run.expect(4, 20)
    assert out() == "", out()


@test(quick=True)
def test_a_lock_or_a_signal_is_no_error(t):
    scene = Scene(t, MIB)
    scene.seed(peer.never_unchokes)
    command, out = told(scene, None)
    first = scene.start("--on-error", command)
    wait_for(lambda: scene.tracker.of(scene.torrent), 20, "announce",
             alive=[first])
    scene.download("--on-error", command, code=7)
    first.signal(signal.SIGTERM)
    first.expect(143, 15)
    assert out() == ""


def slow_command(t):
    """A command that says its pid, and waits for a file."""
    pid, go = t.path("pid"), t.path("go")
    return "echo $$ >%s; while ! [ -e %s ]; do sleep 0.05; done" % (
        pid, go), pid, go


@test(quick=True)
def test_one_that_never_stops_talking_ends_on_term(t):
    """Its lines are read, and the main thread does all else as well."""
    scene = Scene(t, MIB)
    scene.seed()
    begun = t.path("begun")
    run = scene.start("-q", "--on-complete", "echo >%s; exec yes" % begun)
    wait_for(lambda: os.path.exists(begun), 20, "the command", alive=[run])
    run.signal(signal.SIGTERM)
    run.expect(143, 20)


@test(quick=True)
def test_one_that_is_left_behind_talking_is_not_waited_for(t):
    scene = Scene(t, MIB)
    scene.seed()
    scene.download("-q", "--on-complete", "yes &")


@test(quick=True)
def test_it_is_waited_for_and_holds_the_lock(t):
    scene = Scene(t, MIB)
    scene.seed()
    command, pid, go = slow_command(t)
    run = scene.start("--on-complete", command)
    wait_for(lambda: read_text(pid), 20, "the command", alive=[run])
    scene.check()
    scene.download(code=7)
    assert run.running()
    sample.write_file(go, b"")
    run.expect(0, 10)


@test(quick=True)
def test_a_second_signal_ends_the_command(t):
    scene = Scene(t, MIB)
    scene.seed()
    command, pid, _ = slow_command(t)
    run = scene.start("--on-complete", command)
    number = int(wait_for(lambda: read_text(pid), 20, "the command"))
    run.signal(signal.SIGTERM)
    time.sleep(0.3)
    assert run.running() and os.path.exists("/proc/%d" % number)
    run.signal(signal.SIGTERM)
    run.expect(143, 5)
    wait_for(lambda: not os.path.exists("/proc/%d" % number), 5,
             "end of the command")


def ended_while_it_runs(t, command, *args):
    """Told once to end, with a command that has begun."""
    scene = Scene(t, MIB)
    scene.seed()
    run = scene.start("--on-complete", command, *args)
    number = int(wait_for(lambda: read_text(t.path("pid")), 20,
                          "the command", alive=[run]))
    run.signal(signal.SIGTERM)
    return scene, run, number


@test(quick=True)
def test_a_signal_leaves_the_command_some_seconds(t):
    command, _, _ = slow_command(t)
    scene, run, number = ended_while_it_runs(t, command, "-q")
    run.expect(143, 15)
    assert run.err() == "", run.err()
    wait_for(lambda: not os.path.exists("/proc/%d" % number), 5,
             "end of the command")
    command, out = told(scene, None)
    scene.download("--on-complete", command)
    assert out().startswith("data.bin|"), out()


@test(quick=True)
def test_what_succeeds_in_them_is_complete(t):
    command, _, go = slow_command(t)
    _, run, _ = ended_while_it_runs(t, command)
    time.sleep(0.3)
    assert run.running()
    sample.write_file(go, b"")
    run.expect(0, 10)


@test(quick=True)
def test_kill_9_takes_the_command_along_and_it_runs_again(t):
    scene = Scene(t, MIB)
    scene.seed()
    command, pid, _ = slow_command(t)
    run = scene.start("--on-complete", command)
    number = int(wait_for(lambda: read_text(pid), 20, "the command"))
    run.signal(signal.SIGKILL)
    run.wait()
    wait_for(lambda: not os.path.exists("/proc/%d" % number), 5,
             "end of the command")
    command, out = told(scene, None)
    scene.download("--on-complete", command)
    assert out().startswith("data.bin|"), out()
    assert len(scene.tracker.of(scene.torrent, "started")) == 1


@test(quick=True)
def test_commands_may_write_where_btget_may_not(t):
    """They move what is complete elsewhere, and the rights that btget gave
    up are no matter of theirs."""
    scene = Scene(t, MIB)
    scene.seed()
    done = t.folder("done")
    scene.download("--on-complete", 'mv "$BTGET_PATH" ' + done)
    sample.assert_same(scene.path, os.path.join(done, "data.bin"))


@test(quick=True)
def test_seeding_goes_on_while_it_runs(t):
    scene = Scene(t, MIB)
    scene.seed()
    command, pid, go = slow_command(t)
    run = scene.start("--seed-time=1h", "--on-complete", command)
    wait_for(lambda: read_text(pid), 20, "the command", alive=[run])
    wait_for(lambda: "seeding" in run.out(), 10, "seeding", alive=[run])
    sample.write_file(go, b"")
    time.sleep(0.2 * SLOW)
    run.signal(signal.SIGTERM)
    run.expect(143, 15)
