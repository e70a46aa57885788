"""Goal: what scripts and people see is what was promised: exit codes, one
line for each error, silence under -q, JSON with the right keys, bars that
leave the terminal as it was, and no output that can end a download."""
import contextlib
import fcntl
import json
import os
import pty
import re
import select
import signal
import socket
import struct
import termios
import threading
import time

import peer
import sample
from harness import BTGET, SLOW, test, wait_for
from preload import Hold
from swarm import MIB, Blackhole, Scene


@test(quick=True)
def test_quiet_is_silent_on_success(t):
    scene = Scene(t, MIB)
    scene.seed()
    for _ in range(2):
        done = scene.download("-q")
        assert done.out() == "" and done.err() == "", done.err()
    scene.check()


@test(quick=True)
def test_quiet_says_one_line_on_failure(t):
    scene = Scene(t, MIB)
    done = scene.download("-q", "--stall-timeout", "2s", code=5)
    lines = done.err().splitlines()
    assert done.out() == "" and len(lines) == 1, done.err()
    assert lines[0].startswith("btget: data.bin: "), lines


@test(quick=True)
def test_quiet_says_one_line_whatever_fails(t):
    """Each ends with its code and one line that says on what, and why."""
    scene = Scene(t, MIB)
    junk = sample.write_file(t.path("junk.torrent"), b"junk")
    gone = t.path("gone")
    plain = t.folder("plain")
    for code, words, want in (
            (2, ["--frob", scene.file], "unknown option --frob"),
            (2, [], "no torrent given"),
            (2, ["--blocklist", gone, scene.file],
             "--blocklist: cannot read '%s': No such file" % gone),
            (2, ["-d", plain, "-f", "99", scene.file],
             "data.bin: --files: no file is selected"),
            (2, ["--config", gone, scene.file],
             "cannot read '%s': No such file" % gone),
            (3, [gone], gone + ": cannot open: No such file"),
            (3, [junk], junk + ": invalid torrent: "),
            (3, ["magnet:?xt=urn:btih:zz"], ": invalid magnet link: "),
            (3, ["http://127.0.0.1:1/x.torrent"], "/x.torrent: "),
            (4, ["-l", gone + "/log", scene.file],
             "cannot open log '%s/log': No such file" % gone),
            (4, ["-d", "/proc/none", scene.file],
             "data.bin: cannot create folder '/proc/none': "),
            (4, ["--watch", gone], "cannot watch '%s': No such" % gone)):
        done = t.run_btget("-q", *words, code=code)
        lines = done.err().splitlines()
        assert len(lines) == 1 and done.out() == "", (words, lines)
        assert lines[0].startswith("btget: ") and want in lines[0], lines
    # A warning on the way is no second line, and each torrent has its own.
    refused = Scene(t, MIB, name="refused", script=lambda request, note:
                    sample.bencode({"failure reason": "no", "interval": 1}))
    done = t.run_btget("-q", "-d", plain, "--deadline", "2", junk,
                       refused.file, scene.file, code=3)
    names = sorted(line.split(": ")[1] for line in done.err().splitlines())
    assert names == sorted([junk, "refused", "data.bin"]), done.err()


def no_output():
    os.close(1)


@test(quick=True)
def test_output_that_is_closed_or_full_ends_nothing(t):
    for mode in ("auto", "plain", "json"):
        scene = Scene(t, MIB)
        scene.seed()
        scene.download("--progress", mode, preexec_fn=no_output)
        scene.check()
        scene = Scene(t, MIB)
        scene.seed()
        with open("/dev/full", "wb") as full:
            scene.download("--progress", mode, stdout=full, stderr=full)
        scene.check()


@test(quick=True)
def test_a_result_that_cannot_be_printed_is_4(t):
    scene = Scene(t, MIB)
    for args in (("show", scene.file), ("show", "--json", scene.file),
                 ("create", "-o", "-", scene.path)):
        done = t.run_btget(*args, plain=True, code=4, preexec_fn=no_output)
        assert done.err().count("\n") == 1 and \
            "cannot write to standard output" in done.err(), done.err()


@test(quick=True)
def test_a_reader_who_leaves_may_have_enough_of_a_text_not_of_a_torrent(t):
    scene = Scene(t, MIB)
    read, write = os.pipe()
    os.close(read)
    with open(write, "wb") as gone:
        t.run_btget("show", scene.file, stdout=gone)
        done = t.run_btget("create", "-o", "-", scene.path, stdout=gone,
                           code=4)
    assert "cannot write to standard output" in done.err(), done.err()


@test(quick=True)
def test_a_torrent_that_was_written_is_no_failure_of_the_output(t):
    path = sample.make_file(t.path("data"), 5)
    for n, closed in enumerate((False, True)):
        file = t.path("%d.torrent" % n)
        with open("/dev/full", "wb") as full:
            done = t.run_btget(
                "create", "-o", file, path, plain=True, code=0,
                **({"preexec_fn": no_output} if closed else
                   {"stdout": full}))
        assert done.err() == "", done.err()
        t.run_btget("show", file)


@test(quick=True)
def test_a_torrent_on_the_standard_output_is_alone_there(t):
    path, link = sample.make_file(t.path("data"), 5), t.path("link")
    os.symlink("/dev/fd/1", link)
    t.run_btget("create", "--no-date", "-o", t.path("want"), path)
    with open(t.path("want"), "rb") as data:
        want = data.read()
    for output in ("-", "/dev/stdout", link):
        with open(t.path("got"), "wb") as out:
            t.run_btget("create", "--no-date", "-o", output, path, stdout=out)
        with open(t.path("got"), "rb") as data:
            assert data.read() == want, output
        run = t.run(["sh", "-c", '"$@" | cat >"$0"', t.path("got"), BTGET,
                     "create", "--no-date", "-o", output, path])
        with open(t.path("got"), "rb") as data:
            assert data.read() == want, (output, run.err())


@test(quick=True)
def test_a_torrent_is_no_part_of_itself(t):
    """The shell has made the file by then."""
    folder = t.folder("data")
    sample.make_file(os.path.join(folder, "a"), 5)
    name = os.path.join(folder, "x.torrent")
    with open(name, "wb") as out:
        run = t.run_btget("create", "-o", "-", folder, stdout=out)
    assert "left out 'x.torrent': the torrent goes there" in run.err()
    shown = json.loads(t.run_btget("show", "--json", name).out())
    assert [one["path"] for one in shown["files"]] == ["a"], shown
    with open(os.path.join(folder, "a"), "ab") as out:
        run = t.run_btget("create", "-o", "-", folder, stdout=out, code=2)
    assert "is part of the data" in run.err(), run.err()


@test(quick=True)
def test_a_name_that_is_too_long_is_told_before_anything_is_read(t):
    path = sample.make_file(t.path("data"), 5)
    run = t.run_btget("create", "-o", t.path("x" * 260), path, code=4)
    assert "File name too long" in run.err(), run.err()


@test(quick=True)
def test_a_standard_output_that_does_not_block(t):
    """As another program may leave it that shares it."""
    path = t.path("x.torrent")
    t.run_btget("create", "-o", path, "--comment", "c" * 100000,
                sample.make_file(t.path("data"), 5))
    read, write = os.pipe()
    os.set_blocking(write, False)
    proc = t.btget("show", path, stdout=write, plain=True)
    os.close(write)
    wait_for(lambda: select.select([read], [], [], 0)[0], 20, "some of it",
             alive=[proc])
    with open(read, "rb") as got:
        assert b"c" * 100000 + b"\n" in got.read()
    proc.expect(0)


@test()
def test_a_pipe_that_nobody_reads_ends_nothing(t):
    scene = Scene(t, 2 * MIB)
    scene.slow_seed(0.02)
    read_end, write_end = os.pipe()
    proc = scene.start("--progress", "json", stdout=write_end)
    os.close(write_end)
    os.close(read_end)
    proc.expect(0)
    scene.check()


@test()
def test_a_pipe_that_is_full_does_not_hold_the_download(t):
    scene = Scene(t, 2 * MIB)
    scene.seed()
    read_end, write_end = os.pipe()
    fcntl.fcntl(write_end, 1031, 4096)
    os.set_blocking(write_end, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(write_end, b"x" * 4096)
    os.set_blocking(write_end, True)
    proc = scene.start("--progress", "json", stdout=write_end)
    os.close(write_end)
    wait_for(lambda: os.path.exists(scene.result), 30, "result",
             alive=[proc])
    os.close(read_end)
    proc.expect(0)
    scene.check()


@test(quick=True)
def test_plain_lines_are_few_and_plain(t):
    scene = Scene(t, 2 * MIB)
    scene.slow_seed(0.005)
    done = scene.download()
    text = done.out()
    assert "\x1b" not in text and "\r" not in text, repr(text)
    lines = text.splitlines()
    assert 2 <= len(lines) <= 14, text
    assert all("data.bin" in line for line in lines), text
    assert "100" in lines[-1] or "complete" in lines[-1], lines[-1]


KEYS = {
    "start": {"length", "done", "dir"},
    "progress": {"state", "done", "length", "down_rate", "up_rate",
                 "uploaded", "peers", "seeds", "eta"},
    "file": {"path"}, "warning": {"text"}, "complete": set(),
    "exit": {"code", "reason"},
}


@test(quick=True)
def test_json_lines_have_the_promised_keys(t):
    scene = Scene(t, files=[("a", 300000), ("empty", 0),
                            ("sub/b", 1500000)])
    scene.slow_seed(0.02)
    before = time.time()
    done = scene.download("--progress=json")
    lines = [json.loads(line) for line in done.out().splitlines()]
    for line in lines:
        assert KEYS[line["event"]] <= set(line), line
        assert before - 1 <= line["time"] <= time.time() + 1, line
        if line["event"] not in ("exit", "warning"):
            assert line["info_hash"] == scene.torrent.hex, line
            assert line["name"] == "data", line
    events = [line["event"] for line in lines]
    assert events[0] == "start" and events[-1] == "exit", events
    assert events.count("complete") == 1, events
    assert lines[0]["length"] == scene.torrent.length
    assert lines[0]["done"] == 0
    assert lines[-1]["code"] == 0
    steps = [line for line in lines if line["event"] == "progress"]
    assert len(steps) >= 1, events
    dones = [line["done"] for line in steps]
    assert dones == sorted(dones), dones
    assert {line["state"] for line in steps} <= {
        "checking", "metadata", "downloading", "seeding"}, steps
    files = {line["path"] for line in lines if line["event"] == "file"}
    assert files == {"a", "empty", "sub/b"}, files


@test(quick=True)
def test_json_calls_it_downloading_while_room_is_made(t):
    """Nothing is checked then."""
    scene = Scene(t, MIB)
    scene.seed()
    hold = Hold(t, scene.target, "allocate", 1)
    proc = scene.start("--progress=json", "--allocation=full", env=hold.env)
    hold.wait(proc)

    def states():
        """Of whole lines."""
        lines = proc.out().rpartition("\n")[0].splitlines()
        return [one["state"] for one in map(json.loads, lines)
                if one["event"] == "progress"]
    before = len(states())
    held = wait_for(lambda: states()[before:][1:], 20, "progress",
                    alive=[proc])
    hold.release()
    proc.expect(0, 20)
    scene.check()
    assert set(held) == {"downloading"}, held


def file_events(done):
    lines = [json.loads(line) for line in done.out().splitlines()]
    return [line["path"] for line in lines if line["event"] == "file"]


@test(quick=True)
def test_empty_files_are_told_of_when_they_are_made(t):
    scene = Scene(t, files=[("a", 300000), ("b", 0), ("c", 0)])
    scene.seed()

    def made(*args):
        return file_events(scene.download("--progress=json", *args))
    assert made("-f", "2") == ["b"]
    assert made("-f", "1,3") == ["a", "c"]
    assert made() == []
    os.unlink(os.path.join(scene.result, "a"))
    os.unlink(os.path.join(scene.result, "c"))
    assert made() == ["a", "c"]


def much_json(t, files):
    """The scene, the run, and the pipe that soon has no room for its lines."""
    scene = Scene(t, files=[("%s-%04d" % ("f" * 150, n), 10)
                            for n in range(files)])
    scene.seed()
    read_end, write_end = os.pipe()
    fcntl.fcntl(write_end, 1031, 4096)
    proc = scene.start("--progress=json", stdout=write_end)
    os.close(write_end)
    return scene, proc, read_end


@test()
def test_a_slow_reader_gets_json_to_the_last_line(t):
    """Somebody who takes longer than btget, but goes on reading."""
    scene, proc, read_end = much_json(t, 2000)
    text = b""
    while True:
        part = os.read(read_end, 4096)
        if not part:
            break
        text += part
        time.sleep(0.02)
    os.close(read_end)
    proc.expect(0)
    lines = [json.loads(line) for line in text.splitlines()]
    assert [one["event"] for one in lines[-2:]] == ["complete", "exit"], \
        lines[-2:]
    assert len([1 for one in lines if one["event"] == "file"]) == 2000
    scene.check()


@test()
def test_a_reader_who_stood_still_as_we_did_gets_json_to_the_last_line(t):
    """A machine that was suspended while the last lines waited for room."""
    scene, proc, read_end = much_json(t, 500)
    wait_for(lambda: scene.tracker.of(scene.torrent, "stopped"), 20,
             "the end", alive=[proc])
    time.sleep(0.3)
    proc.signal(signal.SIGSTOP)
    time.sleep(2.5)
    proc.signal(signal.SIGCONT)
    time.sleep(0.1)
    with os.fdopen(read_end, "rb") as out:
        lines = [json.loads(line) for line in out]
    proc.expect(0)
    assert [one["event"] for one in lines[-2:]] == ["complete", "exit"], \
        lines[-2:]


@test(quick=True)
def test_json_ends_with_exit_where_nothing_could_begin(t):
    scene = Scene(t, MIB)
    gone = t.path("gone", "x")
    for option, code in (("--log", 4), ("--blocklist", 2)):
        done = scene.download("--progress=json", option, gone, code=code)
        lines = [json.loads(line) for line in done.out().splitlines()]
        assert [line["event"] for line in lines] == ["exit"], lines
        assert lines[0]["code"] == code, lines
        assert "btget: %s\n" % lines[0]["reason"] == done.err(), lines
        quiet = scene.download("-q", "--progress=json", option, gone,
                               code=code)
        assert quiet.out() == "", quiet.out()


@test(quick=True)
def test_json_has_one_path_for_a_file_everywhere(t):
    """What show and check list is what the download tells of, whatever the
    name on disk; and a single file has the torrent's name."""
    odd = [("sub/CON", 70000), ("a:b", 30000), ("esc\x1b[31m\x9b", 20000),
           ("deep/er/x", 10)]
    for scene in (Scene(t, files=odd), Scene(t, MIB, name="single.bin")):
        scene.seed()
        shown = json.loads(t.run_btget("show", "--json", scene.file).out())
        told = file_events(scene.download("--progress=json"))
        paths = sorted(one["path"] for one in shown["files"])
        assert sorted(told) == paths, (told, paths)
        checked = json.loads(t.run_btget(
            "check", "--json", "-d", scene.target, scene.file).out())
        assert sorted(one["path"] for one in checked["files"]) == paths
    assert paths == ["single.bin"]


@test(quick=True)
def test_json_tells_every_warning_of_its_torrent(t):
    scene = Scene(t, MIB, script=lambda request, note: sample.bencode(
        {"failure reason": "not registered here", "interval": 1}))
    other = Scene(t, MIB, name="other", script=lambda request, note:
                  sample.bencode({"warning message": "be nice",
                                  "interval": 1, "peers": b""}))
    done = scene.download("--progress=json", "--stall-timeout",
                          "%g" % (3 * SLOW),
                          t.path("missing.torrent"), other.file, code=3)
    told = [line for line in map(json.loads, done.out().splitlines())
            if line["event"] == "warning"]
    assert len(told) == len(done.err().splitlines()), (told, done.err())

    def of(info_hash, words):
        return [line for line in told if line.get("info_hash") == info_hash
                and words in line["text"]]
    assert len(of(scene.torrent.hex, "not registered here")) == 2, told
    assert len(of(other.torrent.hex, "be nice")) == 1, told
    assert len(of(other.torrent.hex, "no peer")) == 1, told
    assert [line["name"] for line in of(None, "cannot open")] == \
        [t.path("missing.torrent")], told


@test(quick=True)
def test_json_tells_how_each_torrent_failed(t):
    """The warning that says why has the code; no other one has any."""
    lost, fine = Scene(t, MIB, name="lost"), Scene(t, MIB, name="fine")
    fine.seed()
    held = Scene(t, MIB, name="held")
    target = t.path("got")
    run = t.btget("-d", target, "-p", "0", held.file)
    wait_for(lambda: held.tracker.announces, 20, "announce", alive=[run])
    done = t.run_btget(
        "-d", target, "-p", "0", "--progress=json", "--stall-timeout",
        "%g" % (2 * SLOW), "--on-complete",
        "for i in 1 2 3; do echo hm; done; exit 4", "missing", lost.file,
        fine.file, held.file, code=3, cwd=t.dir)
    told = warnings_of(done)
    codes = {line["name"]: line["code"] for line in told if "code" in line}
    assert codes == {"missing": 3, "lost": 5, "fine": 8, "held": 7}, told
    assert len([line for line in told if "code" in line]) == 4, told
    rest = [line["text"] for line in told if "code" not in line]
    assert len(rest) == 2 and "hm" in rest[0] and \
        rest[1] == "(last line repeated: 2)", told


def warnings_of(done):
    lines = [json.loads(line) for line in done.out().splitlines()]
    return [line for line in lines if line["event"] == "warning"]


@test(quick=True)
def test_json_knows_whose_a_warning_is_by_more_than_the_name(t):
    """Of two torrents of one name, and of what is no torrent and called so,
    too."""
    scenes = [Scene(t, MIB, name="data", seed=seed) for seed in "ab"]
    folder = t.folder("work/data")
    done = t.run_btget("-d", t.path("got"), "-p", "0", "-f", "9",
                       "--progress=json", scenes[0].file, "data",
                       scenes[1].file, code=2, cwd=os.path.dirname(folder))
    told = warnings_of(done)
    assert [line["name"] for line in told] == ["data"] * 3, told
    of = {line.get("info_hash"): line["text"] for line in told}
    assert set(of) == {None, *(one.torrent.hex for one in scenes)}, told
    assert "directory" in of[None], told


@test(quick=True)
def test_json_knows_whose_the_earliest_warning_is(t):
    """It comes from another thread, while the torrent is being added."""
    scene = Scene(t, 1000)
    scene.seed()
    scene.download("-q")
    for _ in range(20):
        told = warnings_of(scene.download("--progress=json", "-f", "!zz"))
        assert [(line.get("info_hash"), line["name"]) for line in told] == \
            [(scene.torrent.hex, "data.bin")], told


@test()
def test_json_survives_a_name_of_bad_bytes(t):
    scene = Scene(t, MIB)
    info = dict(scene.torrent.info)
    info[b"name"] = b"bad \xff\xfe\" \\ \x07name"
    meta = dict(scene.torrent.meta, **{})
    meta[b"info"] = info
    sample.write_file(scene.file, sample.bencode(meta))
    done = scene.download("--progress=json", "--stall-timeout", "2s", code=5)
    for line in done.out().splitlines():
        json.loads(line)


class Terminal:
    """A pseudo terminal whose output is kept."""

    def __init__(self, columns=80, rows=24):
        self.master, self.slave = pty.openpty()
        self.resize(columns, rows)
        self.text = b""
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def resize(self, columns, rows=24):
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ,
                    struct.pack("HHHH", rows, columns, 0, 0))

    def read(self):
        with contextlib.suppress(OSError):
            while True:
                part = os.read(self.master, 65536)
                if not part:
                    return
                self.text += part

    def close(self):
        os.close(self.slave)
        self.thread.join(5)
        os.close(self.master)
        return self.text.decode("utf-8", "replace")


def on_terminal(scene, *args, columns=80, code=0, act=None, **env):
    term = Terminal(columns)
    proc = scene.start(*args, stdout=term.slave, stderr=term.slave, env=dict(
        scene.t.env, TERM="xterm-256color", **env))
    if act:
        act(proc, term)
    proc.expect(code)
    return term.close()


def left_clean(text):
    """The cursor is shown, colours are off, the last line has ended."""
    assert text.count("\x1b[?25l") == 0 or \
        text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l"), repr(text)
    assert text.endswith("\n") or re.search(
        r"\n(\x1b\[[?0-9;]*[a-zA-Z])*$", text), repr(text[-200:])
    # No other screen, no scroll region, no mouse.
    assert "\x1b[?1049" not in text and "\x1b[?47" not in text


@test(quick=True)
def test_bars_leave_the_terminal_clean(t):
    scene = Scene(t, 2 * MIB)
    scene.slow_seed(0.01)
    text = on_terminal(scene)
    assert "data.bin" in text and "100" in text, repr(text[-500:])
    assert "\x1b[" in text, "nothing was repainted"
    left_clean(text)
    scene.check()


@test()
def test_bars_are_left_clean_by_a_signal(t):
    scene = Scene(t, 4 * MIB)
    seed = scene.slow_seed(0.01)

    def act(proc, term):
        scene.wait_requests(seed, 60, proc)
        proc.signal(signal.SIGINT)
    left_clean(on_terminal(scene, code=130, act=act))


@test()
def test_bars_leave_the_cursor_when_it_quits(t):
    """Ctrl-\\ ends it where it stands: only the cursor comes back."""
    scene = Scene(t, 4 * MIB)
    scene.slow_seed(0.05)

    def act(proc, term):
        wait_for(lambda: b"\x1b[?25l" in term.text, 20, "bars", [proc])
        proc.signal(signal.SIGQUIT)
    left_clean(on_terminal(scene, code=128 + signal.SIGQUIT, act=act))


@test()
def test_bars_cope_with_sizes(t):
    for columns in (1, 2, 5, 10, 20, 300):
        scene = Scene(t, MIB, name="w\u00eft \u65e5\u672c\u8a9e.bin")
        seed = scene.slow_seed(0.005)

        def act(proc, term):
            scene.wait_requests(seed, 20, proc)
            for other in (3, 200, columns):
                term.resize(other)
                proc.signal(signal.SIGWINCH)
                time.sleep(0.05)
        left_clean(on_terminal(scene, columns=columns, act=act))
        scene.check()


@test()
def test_a_dumb_terminal_gets_no_escapes(t):
    scene = Scene(t, MIB)
    scene.slow_seed(0.005)
    term = Terminal()
    scene.download(stdout=term.slave, stderr=term.slave,
                   env=dict(t.env, TERM="dumb"))
    text = term.close()
    assert "\x1b" not in text, repr(text)


@test()
def test_no_color_means_no_colour(t):
    scene = Scene(t, MIB)
    scene.slow_seed(0.01)
    text = on_terminal(scene, NO_COLOR="1")
    colours = re.findall(r"\x1b\[[0-9;]*m", text)
    assert not [c for c in colours if re.search("[34][0-9]", c)], colours


@test()
def test_an_ascii_locale_gets_ascii(t):
    scene = Scene(t, MIB)
    scene.slow_seed(0.01)
    text = on_terminal(scene, LC_ALL="C")
    assert text.isascii(), repr(text[-500:])


EVIL = "x\x1b[2J\x1b]0;owned\x07\rbtget: y.bin"


@test(quick=True)
def test_escapes_in_names_never_reach_the_terminal(t):
    scene = Scene(t, MIB)
    info = dict(scene.torrent.info)
    info[b"name"] = EVIL.encode()
    meta = dict(scene.torrent.meta)
    meta[b"info"] = info
    meta[b"comment"] = EVIL.encode()
    meta[b"created by"] = EVIL.encode()
    scene.torrent = sample.Torrent(sample.bencode(meta))
    scene.torrent.save(scene.file)
    scene.seed()
    text = on_terminal(scene)
    assert "owned\x07" not in text and "\x1b[2J" not in text, repr(text)
    assert "\x1b]" not in text, repr(text)
    for words in (["show"], ["show", "--json"]):
        shown = t.run_btget(*words, scene.file).out()
        assert "\x1b" not in shown and "\x07" not in shown, repr(shown)
        assert "\r" not in shown, repr(shown)


@test(quick=True)
def test_several_torrents_one_of_them_bad(t):
    scene, other = Scene(t, MIB), Scene(t, 2 * MIB, name="other.bin")
    scene.seed()
    other.seed()
    bad = sample.write_file(t.path("bad.torrent"), b"d4:infod4:name1:xee")
    done = t.run_btget("-d", scene.target, "-p", "0", scene.file, bad,
                       other.file, code=3)
    scene.check()
    sample.assert_same(other.path, os.path.join(scene.target, "other.bin"))
    lines = done.err().splitlines()
    assert len(lines) == 1 and "bad.torrent" in lines[0], lines


@test()
def test_several_torrents_share_the_terminal(t):
    scenes = [Scene(t, MIB, name="file%d.bin" % n) for n in range(5)]
    for scene in scenes:
        scene.slow_seed(0.01)
    term = Terminal()
    t.run_btget("-d", t.path("all"), "-p", "0", *[s.file for s in scenes],
                stdout=term.slave, stderr=term.slave,
                env=dict(t.env, TERM="xterm"))
    text = term.close()
    left_clean(text)
    for scene in scenes:
        assert scene.torrent.name in text
        sample.assert_same(scene.path, t.path("all", scene.torrent.name))


@test()
def test_the_same_torrent_twice_is_one(t):
    scene = Scene(t, MIB)
    scene.seed()
    proc = t.btget("-d", scene.target, "-p", "0", scene.file, scene.file)
    proc.wait()
    assert proc.code in (0, 7), proc.code
    scene.check()


@test()
def test_the_smallest_code_counts(t):
    """3 for the bad one, 5 for the one without peers: 3."""
    scene = Scene(t, MIB)
    t.run_btget("-d", scene.target, "-p", "0", "--stall-timeout", "2s",
                scene.file, t.path("missing.torrent"), code=3)


@test(quick=True)
def test_a_wrong_command_line_is_2(t):
    scene = Scene(t, 1)
    for words in ((), ("--frobnicate", "x"), ("-p", "99999999", "x"),
                  ("-p", "x", "x"), ("--down-limit", "fast", "x"),
                  ("--stall-timeout", "-1", "x"), ("-d",),
                  ("--max-peers", "0x", "x"), ("--progress", "loud", "x"),
                  ("--seed-ratio", "nan", "x"), ("-P", "nowhere", "x"),
                  ("--allocation", "lots", "x"), ("--quiet=yes", "x"),
                  ("show",), ("show", "--frob", scene.file), ("create",),
                  ("create", "a", "b"), ("tracker", "--port", "abc")):
        done = t.run_btget(*words, code=2, plain=True)
        lines = done.err().splitlines()
        assert lines and lines[0].startswith("btget: "), (words, lines)
        assert done.out() == "", (words, done.out())


@test(quick=True)
def test_a_torrent_that_cannot_be_read_is_3(t):
    valid = Scene(t, MIB).torrent.raw
    made = {
        "empty": b"", "text": b"hello\n", "html": b"<html></html>",
        "cut": valid[:-5], "deep": b"d4:info" + b"l" * 100000,
        "list": b"le", "no info": b"d8:announce1:xe",
        "piece length 0": valid.replace(b"12:piece lengthi65536e",
                                        b"12:piece lengthi0e"),
        "negative length": valid.replace(b"6:lengthi1048576e",
                                         b"6:lengthi-1048576e"),
        "too few hashes": valid.replace(b"6:lengthi1048576e",
                                        b"6:lengthi9948576e"),
        "leading zero": valid.replace(b"i65536e", b"i065536e"),
        "huge string": b"d4:info99999999999999999999:x",
    }
    for name, raw in made.items():
        file = sample.write_file(t.path(name + ".torrent"), raw)
        for words in ((), ("show",), ("check",)):
            done = t.run_btget(*words, file, code=3, seconds=20)
            lines = done.err().splitlines()
            assert len(lines) == 1 and lines[0].startswith("btget: "), \
                (name, words, lines)
    t.run_btget(t.path("not there"), code=3)
    t.run_btget("show", t.dir, code=3)


@test(quick=True)
def test_help_and_version_go_to_stdout(t):
    for words in (("--help",), ("-h",), ("--version",), ("-V",),
                  ("create", "--help"), ("show", "--help"),
                  ("check", "--help"), ("tracker", "--help")):
        done = t.run_btget(*words, plain=True)
        assert "btget" in done.out() and done.err() == "", words
        assert words[0] in ("--version", "-V") or \
            all(len(n) <= 80 for n in done.out().splitlines()), words


@test(quick=True)
def test_it_needs_no_environment_at_all(t):
    scene = Scene(t, MIB)
    scene.seed()
    scene.download(env={})
    scene.check()


@test()
def test_a_locale_that_is_missing_is_no_harm(t):
    scene = Scene(t, MIB)
    scene.seed()
    done = scene.download(env=dict(t.env, LC_ALL="xx_YY.UTF-8"))
    assert done.err() == "", done.err()
    scene.check()


@test(quick=True)
def test_a_torrent_comes_from_stdin_or_http(t):
    scene = Scene(t, MIB)
    scene.seed()
    with open(scene.file, "rb") as data:
        t.run_btget("-d", t.path("one"), "-p", "0", "-", stdin=data)
    sample.assert_same(scene.path, t.path("one", "data.bin"))
    scene.tracker.files["/it.torrent"] = scene.torrent.raw
    t.run_btget("-d", t.path("two"), "-p", "0",
                scene.tracker.base + "/it.torrent")
    sample.assert_same(scene.path, t.path("two", "data.bin"))
    t.run_btget("-d", t.path("three"), "-p", "0",
                scene.tracker.base + "/missing.torrent", code=3)


@test()
def test_a_torrent_that_never_comes_can_be_left(t):
    hole = Blackhole(t)
    with contextlib.closing(socket.socket()) as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen(5)
        url = "http://127.0.0.1:%d/it.torrent"
        os.mkfifo(t.path("fifo"))
        read_end, write_end = os.pipe()
        for source in (url % mute.getsockname()[1], url % hole.where[1],
                       t.path("fifo"), "-"):
            proc = t.btget("-d", t.path("x"), source, stdin=read_end)
            time.sleep(0.3)
            proc.signal(signal.SIGTERM)
            proc.expect(143, 5)
            t.run_btget("-d", t.path("x"), "--deadline", "0.5", source,
                        stdin=read_end, code=3, seconds=5)
        os.close(read_end)
        os.close(write_end)


@test()
def test_the_log_tells_the_story(t):
    scene = Scene(t, MIB)
    scene.seed()
    log = t.path("log.txt")
    for _ in range(2):
        scene.download("-l", log, "-q")
    with open(log) as data:
        lines = data.read().splitlines()
    assert len(lines) >= 2, lines
    assert all(re.match(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d", n)
               for n in lines), lines[:3]


@test()
def test_verbose_stays_readable(t):
    scene = Scene(t, MIB)
    scene.seed()
    scene.seed(peer.SEEDS["extension of odd values"], host="127.0.0.2")
    done = scene.download("-v", "-v")
    assert "\x1b" not in done.err() + done.out()
    scene.check()
