"""Goal: whatever moment it dies at, by kill -9 or with the whole machine, no
state ever claims a byte that is not there, and hardly a byte is fetched
twice."""
import hashlib
import os
import random
import re
import shutil
import signal
import struct
import time

import peer
import sample
from harness import BTGET, OFFLINE, children, note, read_text, test
from swarm import MIB, Scene

SEED = int(os.environ.get("CRASH_SEED", "1"))
KILLS = 50
# What a run that dies may take with it: the requests that were
# under way, and what there was of pieces that were not whole yet.
IN_FLIGHT = 65536


class State:
    """What a state file claims; None of it counts when it is damaged."""

    def __init__(self, path):
        with open(path, "rb") as data:
            raw = data.read()
        assert raw[:8] == b"btgetst1", raw[:8]
        assert hashlib.sha256(raw[:-32]).digest() == raw[-32:], \
            "a state that is damaged was given its name"
        (self.length, self.piece_length, self.pieces, self.files) = \
            struct.unpack(">QQII", raw[28:52])
        self.complete = raw[68]
        bits = raw[69:69 + (self.pieces + 7) // 8]
        self.have = [i for i in range(self.pieces)
                     if bits[i // 8] & (0x80 >> i % 8)]


def claims_are_true(scene):
    """Every piece that the state claims is on the disk; returns how many.
    Nothing unfinished has the final name."""
    if os.path.exists(scene.result):
        sample.assert_same(scene.path, scene.result)
    if not os.path.exists(scene.state):
        return 0
    state = State(scene.state)
    if not state.have:
        # A file is made when its first block comes.
        return 0
    here = scene.result if os.path.exists(scene.result) else scene.part
    with open(here, "rb") as data:
        for index in state.have:
            data.seek(index * state.piece_length)
            piece = data.read(scene.torrent.piece_size(index))
            want = scene.torrent.info[b"pieces"][20 * index:20 * index + 20]
            assert hashlib.sha1(piece).digest() == want, \
                "the state claims piece %d, which is not there" % index
    return len(state.have)


def paced_seed(scene, rate_bps, **more):
    """An honest seed that gives each connection so many bytes a second, so
    that hardly anything is on its way when the other side dies."""
    def script(one, conn):
        peer.greet(one, conn)
        began, before = time.monotonic(), one.sent

        def answer(index, begin, length):
            ahead = (one.sent - before) / rate_bps - \
                (time.monotonic() - began)
            if ahead > 0:
                conn.linger(ahead)
            return one.block(index, begin, length)
        peer.serve(one, conn, answer)
    return scene.seed(script, **more)


@test(deadline=240)
def test_kill_9_at_50_random_moments(t):
    """At random moments of the download, and of the saving that a TERM
    begins; the data is then verified or vouched for, never fetched again."""
    note("CRASH_SEED=%d" % SEED)
    chance = random.Random(SEED)
    scene = Scene(t, 64 * MIB + 4321)
    seed = paced_seed(scene, 3 * MIB)
    kills = claimed = 0
    while kills < KILLS:
        run = scene.start()
        time.sleep(chance.uniform(0.03, 0.6))
        if chance.random() < 0.5:
            run.signal(signal.SIGTERM)
            time.sleep(chance.uniform(0, 0.02))
        if not run.running():
            assert run.code in (0, 143), run.err()
            if run.code == 0:
                break
        run.signal(signal.SIGKILL)
        run.wait()
        kills += 1
        claimed = max(claimed, claims_are_true(scene))
    scene.download()
    scene.check()
    claims_are_true(scene)
    again = seed.sent - scene.torrent.length
    note("%d kills, %d pieces claimed on the way, %d bytes fetched again "
         "(%.2f %%)" % (kills, claimed, again,
                        100 * again / scene.torrent.length))
    assert kills == KILLS, "it was complete after %d kills" % kills
    assert claimed > 0, "no state was ever seen"
    assert again < scene.torrent.length * 0.02 + kills * IN_FLIGHT, again


# ---- what a power cut leaves

LINE = re.compile(r"^(\d+) +(\w+)\((.*)$")
RESUMED = re.compile(r"^(\d+) +<\.\.\. (\w+) resumed>(.*)$")


class Call:
    """A system call out of strace's output: it began at line `began` and
    was over at line `over`."""

    def __init__(self, name, text, began):
        self.name = name
        self.text = text
        self.began = began
        self.over = None

    def is_on(self, *words):
        return all(word in self.text for word in words)


def read_trace(path):
    calls, open_calls = [], {}
    for at, line in enumerate(read_text(path).splitlines()):
        resumed = RESUMED.match(line)
        if resumed:
            call = open_calls.pop((resumed[1], resumed[2]), None)
            if call:
                call.text += resumed[3]
                call.over = at
            continue
        match = LINE.match(line)
        if not match:
            continue
        call = Call(match[2], match[3], at)
        calls.append(call)
        if "<unfinished ...>" in line:
            open_calls[match[1], match[2]] = call
        else:
            call.over = at
    return [call for call in calls if call.over is not None and
            "= -1" not in call.text]


def traced(t, scene, *args, stop=None):
    """Runs a download under strace and returns its calls; stop(proc) may
    end it."""
    trace = t.path("trace-%d" % len(t.procs))
    proc = t.spawn(["strace", "-f", "-y", "-o", trace, "-e", "trace=pwrite64,"
                    "pwritev,write,fsync,fdatasync,syncfs,rename,renameat,"
                    "renameat2,openat,openat2,mkdirat,mkdir,ftruncate",
                    BTGET, *OFFLINE, "-p", "0", "-d", scene.target, *args,
                    scene.file],
                   env=dict(t.env, ASAN_OPTIONS="detect_leaks=0"))
    if stop:
        stop(proc)
        proc.expect(143)
    else:
        proc.expect(0)
    return read_trace(trace)


SYNCS = ("fsync", "fdatasync")
RENAMES = ("rename", "renameat", "renameat2")


def file_of(call):
    """The path that strace -y puts behind a descriptor."""
    return re.match(r"\d+<([^>]*)>", call.text)[1]


def in_order(calls, scene, finished):
    """Each state is written only once the data that it may claim is synced,
    gets its name only once it is synced itself, and the folder is synced
    after that; the final name comes after all of it."""
    new = ".state.new"
    renames = [c for c in calls if c.name in RENAMES and c.is_on(new)]
    assert renames, "no state was saved"
    writes = [c for c in calls if c.name in ("pwrite64", "pwritev",
                                             "ftruncate") and
              c.is_on(scene.torrent.name)]
    assert writes, "no data was written"
    for rename in renames:
        opened = [c for c in calls if c.name.startswith("openat") and
                  c.is_on(new) and c.over < rename.began][-1]
        last = [c for c in calls if c.name == "write" and c.is_on(new) and
                c.over < rename.began][-1]
        assert opened.over < last.began
        assert [c for c in calls if c.name in SYNCS and c.is_on(new) and
                last.over < c.began and c.over < rename.began], \
            "a state got its name before it was synced"
        assert [c for c in calls if c.name == "fsync" and
                c.is_on(".btget>") and c.began > rename.over], \
            "the folder of the state was not synced"
    # Nothing was written any more when the last states were.
    last_write = writes[-1]
    for rename in renames:
        if rename.began < last_write.over:
            continue
        for path in {file_of(c) for c in writes}:
            last = [c for c in writes if file_of(c) == path][-1]
            assert [c for c in calls if last.over < c.began and
                    c.over < rename.began and
                    (c.name == "syncfs" or c.name in SYNCS and
                     file_of(c) == path)], \
                "a state was saved before %s was synced" % path
    final = [c for c in calls if c.name in RENAMES and
             c.is_on(scene.torrent.name + ".part")]
    assert len(final) == (1 if finished else 0), final
    for reveal in final:
        assert [c for c in renames if last_write.over < c.began and
                c.over < reveal.began], "no state came before the final name"
        assert [c for c in calls if c.name == "fsync" and
                c.began > reveal.over and c.is_on("<%s>" % scene.target)], \
            "the folder was not synced after the final name"
        assert [c for c in renames if c.began > reveal.over], \
            "no state says that it is complete"


def ordered(**more):
    @test(deadline=60, needs="strace")
    def run(t):
        scene = Scene(t, MIB, **more)
        scene.seed()
        calls = traced(t, scene)
        scene.check()
        in_order(calls, scene, True)
        # Folders that were made are synced, each into its parent.
        made = [re.search(r'"([^"]*)"', c.text)[1] for c in calls
                if c.name == "mkdirat" and not c.is_on(".btget")]
        synced = " ".join(c.text for c in calls if c.name in (
            "fsync", "syncfs"))
        for name in made:
            assert name.split("/")[-1] in synced, "%r was not synced" % name
    return run


test_a_power_cut_finds_data_state_and_name_in_order = ordered()
test_a_power_cut_finds_folders_in_order = ordered(
    files=sample.ODD_TREE[:6])


@test(deadline=60, needs="strace")
def test_a_power_cut_finds_an_unfinished_download_in_order(t):
    scene = Scene(t, 4 * MIB)
    seed = scene.seed_of(60)

    def stop(proc):
        scene.wait_requests(seed, 61, proc)
        pids = children(proc.pid)
        assert pids, "nothing runs under strace"
        os.kill(pids[0], signal.SIGTERM)
    in_order(traced(t, scene, stop=stop), scene, False)


@test(deadline=60, needs="strace")
def test_what_a_killed_run_has_left_is_synced_before_it_is_claimed(t):
    """All of it was written, and none of it synced by whoever did that."""
    scene = Scene(t, MIB)
    os.makedirs(scene.target)
    shutil.copyfile(scene.path, scene.part)
    calls = traced(t, scene)
    scene.check()
    first = next(c for c in calls if c.name in RENAMES and
                 c.is_on(".state.new"))
    assert [c for c in calls if c.name in SYNCS and c.over < first.began and
            file_of(c) == scene.part], "it was claimed before it was synced"


# ---- a file goes out of sight, and home again

STEPS = ("mkdirat", "renameat", "renameat2", "unlinkat", "syncfs")


def whole_only(scene):
    """Nothing unfinished has its final name."""
    if not os.path.exists(scene.result):
        return
    for name in sample.list_tree(scene.result):
        with open(os.path.join(scene.path, name), "rb") as a, \
                open(os.path.join(scene.result, name), "rb") as b:
            assert a.read() == b.read(), name


def killed_at(t, scene, call, number, *args):
    """kill -9 as a thread makes this call for the n-th time; False if none
    did."""
    proc = t.spawn(["strace", "-f", "-o", "/dev/null", "-e", "trace=" + call,
                    "-e", "inject=%s:signal=KILL:when=%d" % (call, number),
                    BTGET, *OFFLINE, "-q", "-p", "0", "-d", scene.target,
                    *args, scene.file],
                   env=dict(t.env, ASAN_OPTIONS="detect_leaks=0"))
    return proc.wait(30) != 0


def killed_everywhere(t, scene, begun, *args, in_place=False):
    """The same run from the same beginning, killed at each step, goes on and
    ends as if nothing had been; returns how many were killed."""
    aside = scene.state[:-len("state")] + "aside"
    kills = 0
    for call in STEPS:
        for number in range(1, 40):
            shutil.rmtree(scene.target, ignore_errors=True)
            shutil.copytree(begun, scene.target)
            if not killed_at(t, scene, call, number, *args):
                break
            kills += 1
            if not in_place:
                whole_only(scene)
            scene.download(*args)
            whole_only(scene)
            assert os.path.exists(aside) == bool(args), (call, number)
            assert not (args and os.path.exists(os.path.join(
                scene.result, "b"))), (call, number)
            if number % 3 == 0:
                scene.download()
                scene.check()
    return kills


@test(deadline=300, needs="strace")
def test_kill_9_while_files_are_hidden_and_come_home(t):
    scene = Scene(t, files=[("a", 200000), ("b/c", 500000), ("b/d", 400000)])
    begun = t.path("begun")
    # Both are begun, and neither becomes whole.
    slow = scene.slow_seed(0.005, have=(4, 5, 6, 12, 13, 14))
    run = scene.start("-f", "2-3")
    scene.wait_requests(slow, 24, run)
    run.signal(signal.SIGTERM)
    run.expect(143)
    assert sample.list_tree(scene.part) == ["b/c", "b/d"]
    scene.tracker.static.remove(slow.where)
    scene.seed()
    os.rename(scene.target, begun)
    kills = killed_everywhere(t, scene, begun, "-f", "1")
    assert sample.list_tree(scene.result) == ["a"]
    # The same with what is begun at its place.
    part = os.path.join(begun, os.path.basename(scene.part))
    os.rename(part, os.path.join(begun, scene.torrent.name))
    more = killed_everywhere(t, scene, begun, "-f", "1", in_place=True)
    assert sample.list_tree(scene.result) == ["a"]
    assert more > 10, more
    # From now on as it is with one of them at its place.
    shutil.rmtree(begun)
    os.rename(scene.target, begun)
    more = killed_everywhere(t, scene, begun)
    scene.check()
    assert kills > 10 and more > 10, (kills, more)
    note("%d and %d kills" % (kills, more))


@test(deadline=120, needs="strace")
def test_kill_9_while_files_get_their_share_of_the_side_file(t):
    scene = Scene(t, files=[("f%d" % i, 30000) for i in range(9)])
    scene.seed()
    scene.download("-f", "1,3,5,7,9")
    begun = t.path("begun")
    os.rename(scene.target, begun)
    kills = 0
    for call in ("ftruncate", "pwritev", "fdatasync", "renameat"):
        for number in range(1, 40):
            shutil.rmtree(scene.target, ignore_errors=True)
            shutil.copytree(begun, scene.target)
            if not killed_at(t, scene, call, number):
                break
            kills += 1
            scene.download()
            scene.check()
    assert kills > 10, kills
    note("%d kills" % kills)


@test(deadline=120, needs="strace")
def test_kill_9_while_the_side_file_gets_what_others_have(t):
    """All of it is there, by another client, and nobody has it to give."""
    scene = Scene(t, files=[("f%d" % i, 30000) for i in range(9)])
    begun = t.path("begun")
    shutil.copytree(scene.path, os.path.join(begun, scene.torrent.name))
    odd = ("-f", "1,3,5,7,9")
    kills = 0
    for call in ("pwritev", "fdatasync", "renameat"):
        for number in range(1, 40):
            shutil.rmtree(scene.target, ignore_errors=True)
            shutil.copytree(begun, scene.target)
            if not killed_at(t, scene, call, number, *odd):
                break
            kills += 1
            scene.download(*odd)
            scene.download()
            scene.check()
    assert kills > 5, kills
    note("%d kills" % kills)
