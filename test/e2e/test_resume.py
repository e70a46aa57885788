"""Goal: nothing that was verified is ever lost. However a run ends, by a
signal, by kill -9, by a damaged state file, the same command again completes
the same bytes; and where all is complete it reads and asks nothing."""
import os
import random
import shutil
import signal
import socket
import time

import peer
import sample
import tracker
from harness import (BTGET, OFFLINE, SANITIZED, SLOW, Skip, as_nobody,
                     read_text, test, wait_for)
from preload import Counted, Hold, library
from swarm import MIB, Blackhole, Scene

# Pieces that may be begun and unfinished when a run with one peer ends.
SPARE = 8


@test(deadline=180)
def test_kill_9_at_random_moments(t):
    scene = Scene(t, 8 * MIB + 4321)
    seed = scene.slow_seed(0.004)
    chance = random.Random(1)
    kills = 0
    for _ in range(15):
        run = scene.start()
        time.sleep(chance.uniform(0.05, 0.6))
        if not run.running():
            break
        run.signal(signal.SIGKILL)
        run.wait()
        kills += 1
    scene.download(seconds=90)
    scene.check()
    assert kills >= 5, "only %d kills" % kills
    # What was in flight when it died may come again: requests that were
    # under way, and pieces that were begun.
    spare = kills * SPARE * scene.torrent.piece_length
    assert seed.sent <= scene.torrent.length + spare, \
        "%d bytes were sent for %d" % (seed.sent, scene.torrent.length)


@test(deadline=90)
def test_what_was_verified_before_kill_9_is_not_fetched_again(t):
    scene = Scene(t, 4 * MIB)
    seed = scene.slow_seed(0.005)
    run = scene.start()
    scene.wait_requests(seed, 150, run)
    run.signal(signal.SIGKILL)
    run.wait()
    scene.download()
    scene.check()
    again = seed.sent - scene.torrent.length
    assert again <= SPARE * scene.torrent.piece_length, again


@test(quick=True)
def test_what_came_while_the_data_was_synced_is_looked_at_after_kill_9(t):
    """Its files look as the state has them, which does not claim it."""
    size = 49152
    scene = Scene(t, files=[("f%02d" % i, size) for i in range(60)],
                  piece_length=16384)
    seed = scene.slow_seed(0.01)
    run = scene.start("--sequential")
    scene.wait_requests(seed, 12, run)
    run.signal(signal.SIGTERM)
    run.expect(143)
    # A run that has verified something saves that at once.
    os.utime(os.path.join(scene.part, "f00"), (1, 1))
    hold = Hold(t, scene.target, "sync", 1)
    run = scene.start("--sequential", env=hold.env)
    hold.wait(run)
    before, was = len(seed.requests), os.stat(scene.state).st_ino
    scene.wait_requests(seed, before + 45, run)
    hold.release()
    wait_for(lambda: os.stat(scene.state).st_ino != was, 30, "a state",
             alive=[run])
    run.signal(signal.SIGKILL)
    run.wait()
    whole = {i for i in range(60) if whole_file(scene, "f%02d" % i)}
    assert len(whole) >= 12, whole
    before = len(seed.requests)
    scene.download()
    scene.check()
    again = [r for r in seed.requests[before:] if r[0] // 3 in whole]
    # One of them may have been about to be verified just then.
    assert len(again) <= 1, (sorted(whole), again)


def whole_file(scene, name):
    """Is all of it there, and right?"""
    path = os.path.join(scene.part, name)
    if not os.path.exists(path):
        return False
    with open(os.path.join(scene.path, name), "rb") as a, \
            open(path, "rb") as b:
        return a.read() == b.read()


@test(quick=True)
def test_blocks_of_a_file_that_is_gone_come_once(t):
    """Those of unfinished pieces are remembered; to go by that would have the
    pieces fail, and come again."""
    scene = Scene(t, 4 * MIB, piece_length=2 * MIB)
    seed = scene.seed_of(110)
    run = scene.start()
    scene.wait_requests(seed, 111, run)
    run.signal(signal.SIGTERM)
    run.expect(143)
    seed.go.set()
    os.unlink(scene.part)
    before = len(seed.requests)
    scene.download()
    scene.check()
    asked = seed.requests[before:]
    assert len(asked) < 4 * MIB // 16384 + 8, len(asked)


def ended_by(number):
    @test(quick=number == signal.SIGTERM)
    def run(t):
        scene = Scene(t, 4 * MIB)
        seed = scene.seed_of(100)
        proc = scene.start()
        scene.wait_requests(seed, 101, proc)
        proc.signal(number)
        proc.expect(128 + number, 10)
        seed.go.set()
        assert os.path.exists(scene.state), "no state was saved"
        assert os.path.exists(scene.part)
        assert not os.path.exists(scene.result)
        assert scene.tracker.of(scene.torrent, "stopped"), "no stopped"
        scene.download()
        scene.check()
        spare = SPARE * scene.torrent.piece_length
        assert seed.sent <= scene.torrent.length + spare, seed.sent
    return run


test_term_saves_and_ends_with_143 = ended_by(signal.SIGTERM)
test_int_saves_and_ends_with_130 = ended_by(signal.SIGINT)
test_hup_saves_and_ends_with_129 = ended_by(signal.SIGHUP)


def silent_on_stopped(request, note):
    if note.event == "stopped":
        return tracker.silent(request, note)
    peers = request.server.tracker.static
    return sample.bencode({"interval": 60,
                           "peers": tracker.compact(peers)})


@test()
def test_stopped_is_waited_for_5_s_at_most(t):
    scene = Scene(t, MIB, script=silent_on_stopped)
    # Once it dials a peer, it has the answer to its first announce.
    one = scene.seed(peer.never_unchokes)
    proc = scene.start()
    wait_for(lambda: one.connections, 20, "connection", alive=[proc])
    started = time.monotonic()
    proc.signal(signal.SIGTERM)
    proc.expect(143, 15)
    assert scene.tracker.of(scene.torrent, "stopped")
    assert time.monotonic() - started < 9


def silent_on_started(request, note):
    if note.event == "started":
        return tracker.silent(request, note)
    return sample.bencode({"interval": 60, "peers": b""})


def udp_silent_on_started(one, data, source, action, transaction):
    if action != 1:
        return NotImplemented
    reply = one.udp_announce(data, source, transaction)
    return None if one.announces[-1].event == "started" else reply


def stopped_in_the_first_announce(t, script, udp_script):
    """The tracker has heard of the start, and has not answered."""
    for answers in (True, False):
        one = tracker.Tracker(t, script=script if answers else
                              tracker.silent, udp_script=udp_script)
        scene = Scene(t, MIB, name="stopped%d" % answers,
                      announce=one.udp_url if udp_script else one.url)
        proc = scene.start()
        wait_for(lambda: one.of(scene.torrent, "started"), 20, "announce",
                 alive=[proc])
        proc.signal(signal.SIGTERM)
        proc.expect(143, 15)
        wait_for(lambda o=one, s=scene: o.of(s.torrent, "stopped"), 5,
                 "its last word")


@test(quick=True)
def test_stopped_is_told_while_the_start_is_not_answered(t):
    stopped_in_the_first_announce(t, silent_on_started, None)


@test(quick=True)
def test_stopped_is_told_over_udp_while_the_start_is_not_answered(t):
    stopped_in_the_first_announce(t, None, udp_silent_on_started)


@test(quick=True)
def test_a_tracker_that_heard_nothing_is_not_waited_for(t):
    """Not even a connection to it came about."""
    hole = Blackhole(t)
    scene = Scene(t, MIB, announce="http://%s:%d/announce" % hole.where)
    proc = scene.start()
    time.sleep(1)
    started = time.monotonic()
    proc.signal(signal.SIGTERM)
    proc.expect(143, 15)
    assert SANITIZED or time.monotonic() - started < 3


@test(quick=True)
def test_a_scripts_background_job_is_ended_by_int(t):
    """Its shell has INT ignored for it."""
    scene = Scene(t, MIB)
    seed = scene.slow_seed(0.05)
    proc = scene.start(preexec_fn=lambda: signal.signal(signal.SIGINT,
                                                        signal.SIG_IGN))
    scene.wait_requests(seed, 5, proc)
    proc.signal(signal.SIGINT)
    proc.expect(130)


@test()
def test_a_second_signal_ends_it_at_once(t):
    scene = Scene(t, MIB, script=silent_on_stopped)
    # Once it dials a peer, it has the answer to its first announce.
    one = scene.seed(peer.never_unchokes)
    proc = scene.start()
    wait_for(lambda: one.connections, 20, "connection", alive=[proc])
    proc.signal(signal.SIGTERM)
    wait_for(lambda: scene.tracker.of(scene.torrent, "stopped"), 10,
             "stopped")
    time.sleep(.2)      # sooner it would be the same wish, told twice
    started = time.monotonic()
    proc.signal(signal.SIGTERM)
    proc.expect(143, 10)
    assert time.monotonic() - started < 3


@test(quick=True)
def test_one_wish_may_be_told_twice(t):
    """A terminal that is closed hangs up twice, a session that ends is told
    so and hangs up."""
    for first in (signal.SIGHUP, signal.SIGTERM):
        scene = Scene(t, MIB)
        one = scene.seed(peer.never_unchokes)
        proc = scene.start()
        wait_for(lambda: one.connections, 20, "connection", alive=[proc])
        proc.signal(first)
        proc.signal(signal.SIGHUP)
        assert proc.wait(20) in (128 + first, 128 + signal.SIGHUP)
        assert scene.tracker.of(scene.torrent, "stopped"), proc.err()


@test(quick=True)
def test_a_second_run_leaves_with_7(t):
    scene = Scene(t, MIB)
    scene.seed(peer.never_unchokes)
    first = scene.start()
    lock = scene.state[:-len("state")] + "lock"
    wait_for(lambda: os.path.exists(lock) and
             scene.tracker.of(scene.torrent), 20, "lock", alive=[first])
    second = scene.download(code=7)
    assert len(second.err().splitlines()) == 1, second.err()
    third = scene.download("-q", code=7)
    assert third.err() == "" and third.out() == "", third.err()
    assert first.running()


@test()
def test_a_run_of_another_user_leaves_with_7(t):
    """He may not write to the lock, and not make one of his own."""
    if os.getuid() != 0:
        raise Skip("only root becomes another user")
    scene = Scene(t, MIB)
    scene.seed(peer.never_unchokes)
    first = scene.start()
    lock = scene.state[:-len("state")] + "lock"
    wait_for(lambda: os.path.exists(lock) and
             scene.tracker.of(scene.torrent), 20, "lock", alive=[first])
    # Where the checkout lies may be closed to others.
    mine = shutil.copy(BTGET, t.path("btget"))
    run = t.run([mine, *OFFLINE, "-q", "-p", "0", "-d", scene.target,
                 scene.file], code=7, preexec_fn=as_nobody)
    assert run.err() == "" and run.out() == "", run.err()
    assert first.running()


@test()
def test_a_file_system_without_locks_will_do(t):
    scene = Scene(t, MIB)
    scene.seed()
    for why in ("ENOLCK", "ENOSYS"):
        scene.target = t.path(why)
        run = scene.download(env=dict(t.env, LD_PRELOAD=library(t),
                                      FAULT="lock:1:%s:on" % why))
        lines = run.err().splitlines()
        assert len(lines) == 1 and "no locks" in lines[0], lines
        scene.check()
        assert not [n for n in os.listdir(os.path.join(
            scene.target, ".btget")) if n.endswith(".lock")]


@test(quick=True)
def test_a_finished_download_is_not_read_again_nor_announced(t):
    scene = Scene(t, MIB)
    scene.seed()
    scene.download()
    asked = len(scene.tracker.requests)
    # Other bytes of the same size and time: who reads them would notice.
    stat = os.stat(scene.result)
    sample.make_file(scene.result + ".other", MIB, "other")
    with open(scene.result, "r+b") as data, \
            open(scene.result + ".other", "rb") as other:
        data.write(other.read())
    os.remove(scene.result + ".other")
    os.utime(scene.result, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    started = time.monotonic()
    scene.download()
    assert time.monotonic() - started < 2 * SLOW
    assert len(scene.tracker.requests) == asked, "it asked the tracker"


def traced(t, code, *args):
    """The calls of a run that have to do with the network."""
    trace = t.path("trace")
    t.run(["strace", "-f", "-o", trace, "-e",
           "trace=network", BTGET] + list(args),
          code=code, env=dict(t.env, ASAN_OPTIONS="detect_leaks=0"))
    lines = read_text(trace)
    assert "exited with %d" % code in lines, lines[-3000:]
    return lines


@test(needs="strace")
def test_a_finished_download_touches_no_network(t):
    """With all of it on: DHT, local discovery, the router, a UDP tracker,
    and a peer whose name would have to be looked up."""
    trackers = tracker.Tracker(t)
    scene = Scene(t, MIB, announce=[[trackers.url], [trackers.udp_url]])
    scene.tracker = trackers
    scene.seed()
    scene.download()
    given = ["-P", "localhost:9", "-d", scene.target, scene.file]
    lines = traced(t, 0, *given)
    assert "AF_INET" not in lines, lines[-3000:]
    # As it looks otherwise.
    os.remove(scene.result)
    lines = traced(t, 0, *OFFLINE, *given)
    for call in ("bind(", "connect(", "AF_INET", "SOCK_DGRAM"):
        assert call in lines, lines[-3000:]


@test(quick=True)
def test_a_finished_download_minds_no_busy_port(t):
    scene = Scene(t, MIB)
    scene.seed()
    scene.download()
    with socket.socket() as other:
        other.bind(("0.0.0.0", 0))
        other.listen()
        port = other.getsockname()[1]
        again = scene.download("-p", port)
        assert again.err() == "", again.err()
        # An unfinished one does, and takes another port.
        os.remove(scene.result)
        again = scene.download("-p", port)
        assert again.err() == "btget: cannot listen on port %d: Address " \
            "already in use; using another one\n" % port, again.err()
    scene.check()


@test()
def test_a_finished_download_ends_in_a_tenth_of_a_second(t):
    """More than what the start of the program alone takes: the best of ten,
    for what else runs here is not btget's fault."""
    scene = Scene(t, 16 * MIB)
    scene.seed()
    scene.download()
    took, alone = [], []
    for _ in range(10):
        started = time.monotonic()
        scene.download("-q")
        took.append(time.monotonic() - started)
        started = time.monotonic()
        t.run_btget("--version")
        alone.append(time.monotonic() - started)
    assert SANITIZED or min(took) - min(alone) < 0.1, (took, alone)


@test()
def test_a_finished_file_that_was_changed_is_mended(t):
    scene = Scene(t, MIB)
    seed = scene.seed()
    scene.download()
    before = seed.sent
    with open(scene.result, "r+b") as data:
        data.seek(300000)
        data.write(b"\0" * 10)
    os.utime(scene.result, (1, 1))
    scene.download()
    sample.assert_same(scene.path, scene.result)
    assert seed.sent - before <= 4 * scene.torrent.piece_length


def cut(path):
    os.truncate(path, 1000)


def overwrite(path):
    with open(path, "r+b") as data:
        data.write(bytes(100000))


def changed_while_seeding(change):
    """What others did to the data is not what the state vouches for."""
    @test()
    def run(t):
        scene = Scene(t, MIB)
        scene.seed()
        proc = scene.start("--seed-time", "1h")
        wait_for(lambda: os.path.exists(scene.result), 30, "the final name",
                 alive=[proc])
        wait_for(lambda: "complete" in proc.out(), 30, "completion",
                 alive=[proc])
        change(scene.result)
        proc.signal(signal.SIGTERM)
        proc.expect(143)
        scene.download()
        scene.check()
    return run


test_a_file_cut_while_seeding_is_mended = changed_while_seeding(cut)
test_a_file_changed_while_seeding_is_mended = changed_while_seeding(overwrite)


def with_a_file_done(t):
    """A second run, in which file "a" has been there from the start."""
    scene = Scene(t, files=[("a", 400000), ("b", 3 * MIB)])
    seed = scene.slow_seed(0.01)
    proc = scene.start("--sequential")
    scene.wait_requests(seed, 60, proc)
    proc.signal(signal.SIGTERM)
    proc.expect(143)
    proc = scene.start("--sequential")
    wait_for(lambda: "started at" in proc.out(), 30, "a look at the data",
             alive=[proc])
    before = seed.sent
    wait_for(lambda: seed.sent > before, 30, "the rest", alive=[proc])
    return scene, seed, proc


def changed_while_downloading(change):
    """A file of which everything is there, while others are not."""
    @test()
    def run(t):
        scene, _, proc = with_a_file_done(t)
        change(os.path.join(scene.part, "a"))
        proc.expect(4)
        assert "changed by another program" in proc.err(), proc.err()
        assert not os.path.exists(scene.result)
        scene.download()
        scene.check()
    return run


test_a_file_cut_while_others_come_is_mended = changed_while_downloading(cut)
test_a_file_changed_while_others_come_is_mended = \
    changed_while_downloading(overwrite)


@test()
def test_a_file_that_was_only_touched_is_complete(t):
    scene, seed, proc = with_a_file_done(t)
    os.utime(os.path.join(scene.part, "a"), (1, 1))
    proc.expect(0)
    scene.check()
    before = len(seed.requests)
    scene.download()
    assert len(seed.requests) == before


@test()
def test_a_file_changed_while_it_is_verified_again_is_mended(t):
    """As two names that differ in case only are."""
    scene = Scene(t, files=[("A", 200000), ("a", 200000)])
    scene.seed()
    counted = Counted(t)
    scene.download("--sequential", env=counted.env)
    last = counted.counts()["pread"]
    assert last > 0
    scene.target = t.path("again")
    hold = Hold(t, scene.target, "pread", last)
    proc = scene.start("--sequential", env=hold.env)
    hold.wait(proc)
    overwrite(os.path.join(scene.part, "A"))
    hold.release()
    proc.wait()
    scene.download()
    scene.check()


@test()
def test_a_file_cut_before_it_was_saved_is_mended(t):
    """Nobody can tell by the looks of it, but it is too short."""
    scene = Scene(t, files=[("a", 400000), ("b", 3 * MIB)])
    seed = scene.slow_seed(0.01)
    proc = scene.start("--sequential")
    scene.wait_requests(seed, 60, proc)
    cut(os.path.join(scene.part, "a"))
    proc.expect(4)
    scene.download()
    scene.check()


@test()
def test_a_hole_where_data_was_is_no_complete_file(t):
    """Later writes bring a file that was cut back to its length."""
    scene = Scene(t, 3 * MIB)
    seed = scene.slow_seed(0.01)
    proc = scene.start("--sequential")
    scene.wait_requests(seed, 60, proc)
    os.truncate(scene.part, 1000)
    proc.expect(4)
    assert "changed by another program" in proc.err(), proc.err()
    scene.download()
    scene.check()


@test()
def test_data_of_another_torrent_of_this_name_is_spared(t):
    """In later runs: neither finished nor unfinished data is lost."""
    one = Scene(t, MIB, name="same", seed=1)
    two = Scene(t, MIB + 7, name="same", seed=2)
    two.target = one.target
    one.seed()
    two.seed()
    one.download()
    for _ in range(2):
        done = two.download(code=4)
        assert "holds data of another torrent, " + one.torrent.hex in \
            done.err(), done.err()
    one.check()
    os.remove(one.result)
    two.download()
    sample.assert_same(two.path, one.result)


@test()
def test_a_finished_file_that_is_gone_is_fetched_again(t):
    scene = Scene(t, MIB)
    scene.seed()
    scene.download()
    os.remove(scene.result)
    scene.download()
    scene.check()


@test()
def test_data_that_is_there_is_completed_in_place(t):
    scene = Scene(t, files=sample.ODD_TREE)
    seed = scene.seed()
    count = scene.torrent.piece_count
    scene.plant(scene.target, range(0, count, 3))
    scene.download()
    scene.check()
    missing = sum(scene.torrent.piece_size(i) for i in range(count)
                  if i % 3)
    assert seed.sent <= missing + 4 * scene.torrent.piece_length, seed.sent


@test()
def test_data_that_is_there_in_full_needs_no_peer(t):
    scene = Scene(t, files=sample.ODD_TREE)
    scene.plant(scene.target, range(scene.torrent.piece_count))
    scene.download("--stall-timeout", "20s")
    scene.check()


@test()
def test_two_torrents_of_one_name_do_not_ruin_each_other(t):
    one = Scene(t, 2 * MIB, name="same", seed=1)
    two = Scene(t, 2 * MIB, name="same", seed=2)
    for scene in (one, two):
        scene.slow_seed(0.02)
    done = one.download(two.file, code=4)
    assert "another torrent is at work on 'same'" in done.err(), done.err()
    with open(one.result, "rb") as data:
        assert data.read() in (one.content, two.content)
    # In another process, and while it is seeded.
    seed = t.seed(one.file, one.source)
    two.target = one.source
    two.download("--stall-timeout", "2", code=4)
    with open(one.path, "rb") as data:
        assert data.read() == one.content
    assert seed.running()


@test()
def test_two_torrents_of_the_same_data_may_both_seed_it(t):
    scene = Scene(t, MIB)
    other = sample.make_torrent(scene.path, info={"source": "elsewhere"})
    other.save(t.path("other.torrent"))
    t.run_btget("-d", scene.source, "-p", "0", "--seed-time", "2",
                scene.file, t.path("other.torrent"))
    left = os.listdir(os.path.join(scene.source, ".btget"))
    both = sorted([scene.torrent.hex, other.hex])
    assert sorted(n for n in left if n.endswith(".state")) == \
        [name + ".state" for name in both], left
    assert sorted(n.split(".owner-")[-1] for n in left
                  if not n.endswith(".state")) == both, left


@test()
def test_unfinished_data_has_another_name(t):
    scene = Scene(t, files=sample.ODD_TREE)
    seed = scene.seed_of(60)
    proc = scene.start()
    scene.wait_requests(seed, 61, proc)
    assert os.path.isdir(scene.part), os.listdir(scene.target)
    assert not os.path.exists(scene.result)
    seed.go.set()
    proc.expect(0)
    scene.check()


def empty_beside_part(make, **scene):
    @test(quick=True)
    def run(t):
        one = Scene(t, **scene)
        seed = one.seed_of(100)
        proc = one.start()
        one.wait_requests(seed, 101, proc)
        proc.signal(signal.SIGTERM)
        proc.expect(143, 10)
        seed.go.set()
        make(one.result)
        one.download()
        one.check()
        spare = SPARE * one.torrent.piece_length
        assert seed.sent <= one.torrent.length + spare, seed.sent
    return run


test_an_empty_folder_beside_the_part_costs_nothing = empty_beside_part(
    os.mkdir, files=[("a", 2 * MIB), ("b", MIB)])
test_an_empty_file_beside_the_part_costs_nothing = empty_beside_part(
    lambda path: sample.write_file(path, b""), size=3 * MIB)


def damaged(name, change):
    @test(quick=name == "cut")
    def run(t):
        scene = Scene(t, 2 * MIB)
        seed = scene.seed_of(70)
        proc = scene.start()
        scene.wait_requests(seed, 71, proc)
        proc.signal(signal.SIGTERM)
        proc.expect(143)
        seed.go.set()
        with open(scene.state, "rb") as data:
            state = data.read()
        os.remove(scene.state)
        change(scene.state, state)
        scene.download()
        scene.check()
        spare = SPARE * scene.torrent.piece_length
        assert seed.sent <= scene.torrent.length + spare, seed.sent
    return run


def flipped(state):
    """A bit of every 7th byte turned."""
    return bytes(b ^ (16 if i % 7 == 3 else 0) for i, b in enumerate(state))


test_a_state_file_cut_short = damaged(
    "cut", lambda path, state: sample.write_file(path, state[:-9]))
test_a_state_file_of_no_bytes = damaged(
    "empty", lambda path, state: sample.write_file(path, b""))
test_a_state_file_of_rubbish = damaged(
    "rubbish", lambda path, state: sample.make_file(path, 100000))
test_a_state_file_with_flipped_bits = damaged(
    "bits", lambda path, state: sample.write_file(path, flipped(state)))
test_a_state_file_that_is_gone = damaged("gone", lambda path, state: None)
test_a_state_file_that_is_huge = damaged(
    "huge", lambda path, state: sample.write_file(
        path, state + bytes(64 * MIB)))


@test()
def test_a_part_of_wrong_bytes_is_never_shown_as_done(t):
    scene = Scene(t, 2 * MIB)
    seed = scene.seed_of(80)
    proc = scene.start()
    scene.wait_requests(seed, 81, proc)
    proc.signal(signal.SIGTERM)
    proc.expect(143)
    seed.go.set()
    size = os.path.getsize(scene.part)
    sample.make_file(scene.part, size, "wrong")
    scene.download()
    scene.check()
