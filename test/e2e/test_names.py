"""Goal: of torrents of one name the one that has data in the folder keeps it,
however its run ended and whatever became of its times; what fits belongs to
several; of two that partly overlap neither ruins the other's files; and a name
with nothing under it is free."""
import os
import resource
import signal
import subprocess

import sample
from harness import test, wait_for
from preload import Counted, Hold, library
from swarm import MIB, Scene


def rivals(t, one, two):
    """Two torrents of one name, into the same folder."""
    first = Scene(t, **one)
    second = Scene(t, **two)
    second.target = first.target
    second.seed()
    return first, second


def two_files(t):
    return rivals(t, {"size": 3 * MIB, "name": "same", "seed": 1},
                  {"size": 3 * MIB, "name": "same", "seed": 2})


def two_seasons(t):
    return rivals(t, {"files": [("ep1", MIB), ("ep2", MIB)], "name": "Season",
                      "seed": 1},
                  {"files": [("ep3", MIB), ("ep4", MIB)], "name": "Season",
                   "seed": 2})


def refused(scene, owner, *args):
    run = scene.download("--stall-timeout", "20s", *args, code=4)
    lines = run.err().splitlines()
    assert len(lines) == 1 and owner.torrent.hex in lines[0] and \
        "give another --dir, or move it away" in lines[0], lines


def end(scene, seed, proc, more, number):
    """Ends a run by a signal once so many more blocks were asked for."""
    scene.wait_requests(seed, len(seed.requests) + more, proc)
    proc.signal(number)
    proc.wait()


def completes(scene, seed):
    """And fetches next to nothing twice."""
    scene.download()
    scene.check()
    again = seed.sent - scene.torrent.length
    assert again <= 8 * scene.torrent.piece_length, again


@test(quick=True)
def test_kill_9_leaves_the_name_to_its_owner(t):
    """The state is older than the data, whose looks it does not know."""
    first, second = two_files(t)
    seed = first.slow_seed(0.005)
    end(first, seed, first.start(), 60, signal.SIGTERM)
    end(first, seed, first.start(), 60, signal.SIGKILL)
    for _ in range(2):
        refused(second, first)
    completes(first, seed)


@test()
def test_kill_9_before_the_first_state_does_so_too(t):
    first, second = two_files(t)
    seed = first.slow_seed(0.005)
    end(first, seed, first.start(), 60, signal.SIGKILL)
    assert not os.path.exists(first.state)
    refused(second, first)
    completes(first, seed)


@test(quick=True)
def test_a_finished_file_of_another_time_is_spared(t):
    first, second = two_files(t)
    first.seed()
    first.download()
    os.utime(first.result, (1, 1))
    refused(second, first)
    first.check()
    first.download()


@test(quick=True)
def test_a_folder_is_not_shared_by_what_has_nothing_in_common(t):
    first, second = two_seasons(t)
    seed = first.slow_seed(0.005)
    end(first, seed, first.start("--sequential"), 80, signal.SIGTERM)
    before = sample.list_tree(first.part)
    refused(second, first)
    assert sample.list_tree(first.part) == before
    completes(first, seed)
    refused(second, first)
    first.check()


@test()
def test_an_empty_file_takes_no_place_either(t):
    """It has no piece that could fit, and would cut what is there."""
    first, second = rivals(
        t, {"files": [("a", MIB), ("b", 9)], "name": "same", "seed": 1},
        {"files": [("a", 0)], "name": "same", "seed": 2})
    first.seed()
    first.download()
    refused(second, first)
    first.check()


@test(quick=True)
def test_a_name_with_nothing_under_it_is_free(t):
    first, second = two_files(t)
    first.seed()
    first.download()
    os.remove(first.result)
    # The new owner is known as well before anything of it is verified.
    seed = second.slow_seed(0.05)
    second.tracker.static[:] = [seed.where]
    proc = second.start()
    wait_for(lambda: os.path.exists(second.part), 20, "data", alive=[proc])
    proc.signal(signal.SIGKILL)
    proc.wait()
    refused(first, second)
    second.seed()
    second.download()
    sample.assert_same(second.path, first.result)
    refused(first, second)


@test(quick=True)
def test_a_piece_of_zeros_claims_no_file_that_has_holes(t):
    first = Scene(t, 3 * MIB, name="same")
    seed = first.seed_of(60)
    end(first, seed, first.start("--sequential"), 61, signal.SIGTERM)
    before = sample.read_file(first.part)
    hole = slice(20 * 65536, 21 * 65536)
    assert not any(before[hole])
    data = bytearray(sample.random_bytes(MIB + MIB // 2 + 7, "other"))
    data[hole] = bytes(65536)
    other = sample.make_torrent(sample.write_file(
        os.path.join(t.folder("zeros"), "same"), data))
    run = t.run_btget("-d", first.target, "-p", "0",
                      other.save(t.path("other.torrent")), code=4)
    assert first.torrent.hex in run.err(), run.err()
    assert sample.read_file(first.part) == before
    seed.go.set()
    completes(first, seed)


def ignores_case(scene):
    """A disk of which btget is to think so."""
    state = os.path.dirname(scene.state)
    other = os.path.join(scene.target, ".BTGET")
    os.makedirs(state)
    os.mkdir(other)
    subprocess.run(["mount", "--bind", state, other], check=True)
    scene.t.at_end.append(lambda: subprocess.run(["umount", "-l", other]))


@test(needs="namespaces")
def test_names_are_told_apart_as_the_disk_does(t):
    """There "Same" and "same.PART" are what "same" is written to."""
    for name in ("Same", "same.PART"):
        first = Scene(t, 2 * MIB, name="same", seed=1)
        second = Scene(t, 2 * MIB, name=name, seed=2)
        second.target = first.target
        ignores_case(first)
        seed = first.slow_seed(0.01)
        proc = first.start()
        first.wait_requests(seed, 20, proc)
        run = second.download(code=4)
        assert "another torrent is at work on '%s'" % name in run.err(), \
            run.err()
        proc.expect(0)
        first.check()
        if name == "Same":
            os.rename(first.result, second.result)
            os.utime(second.result, (1, 1))
            refused(second, first)
    # Elsewhere these are two.
    first, second = rivals(t, {"size": MIB, "name": "same", "seed": 1},
                           {"size": MIB, "name": "Same", "seed": 2})
    seed = first.slow_seed(0.02)
    proc = first.start()
    first.wait_requests(seed, 2, proc)
    second.download()
    second.check()
    proc.expect(0)
    first.check()


@test()
def test_an_empty_folder_is_free(t):
    first, second = two_seasons(t)
    first.seed()
    first.download()
    for name in ("ep1", "ep2"):
        os.remove(os.path.join(first.result, name))
    second.download()
    sample.assert_same(second.path, first.result)


@test(quick=True)
def test_the_same_data_belongs_to_two(t):
    """Made anew, with pieces of another length."""
    scene = Scene(t, 3 * MIB)
    seed = scene.slow_seed(0.005)
    end(scene, seed, scene.start("--sequential"), 100, signal.SIGKILL)
    other = sample.make_torrent(
        scene.path, piece_length=4 * scene.torrent.piece_length)
    other.save(t.path("other.torrent"))
    before = os.path.getsize(scene.part)
    run = t.btget("-d", scene.target, "-p", "0", "--deadline", "2s",
                  t.path("other.torrent"))
    run.wait()
    assert run.code in (5, 6) and "another" not in run.err(), run.err()
    assert os.path.getsize(scene.part) == before
    completes(scene, seed)
    t.run_btget("-d", scene.target, "-p", "0", t.path("other.torrent"))
    scene.check()


@test(quick=True)
def test_who_is_refused_holds_nobody_up(t):
    """Its command may run for long."""
    first, second = two_files(t)
    seed = first.slow_seed(0.005)
    end(first, seed, first.start(), 60, signal.SIGTERM)
    begun, go = t.path("begun"), t.path("go")
    proc = second.start("--on-error", "touch %s; while [ ! -e %s ]; do "
                        "sleep 0.05; done" % (begun, go))
    wait_for(lambda: os.path.exists(begun), 20, "command", alive=[proc])
    completes(first, seed)
    assert proc.running()
    sample.write_file(go, b"")
    proc.expect(4)


def one_of(t, first, second, *order):
    """Both in one command: the first is complete, and the second told of."""
    run = t.run_btget("-q", "-d", first.target, "-p", "0",
                      *[scene.file for scene in order], code=4)
    assert len(run.err().splitlines()) == 1, run.err()
    first.check()


@test(quick=True)
def test_who_has_the_data_goes_on_beside_others_of_the_name(t):
    """They look at it at the same time, and share the name meanwhile."""
    for order in ((0, 1), (1, 0)):
        pair = two_files(t)
        first, second = pair
        seed = first.slow_seed(0.005)
        end(first, seed, first.start(), 60, signal.SIGTERM)
        one_of(t, first, second, *[pair[i] for i in order])


@test(quick=True)
def test_of_several_new_ones_the_first_gets_the_name(t):
    first, second = two_files(t)
    first.seed()
    one_of(t, first, second, first, second)


@test(quick=True)
def test_who_waits_for_a_place_is_no_rival_yet(t):
    """It would wait for those that wait for it."""
    def few():
        resource.setrlimit(resource.RLIMIT_NOFILE, (76, 76))
    first, second = two_files(t)
    third = Scene(t, size=MIB, name="same", seed=3)
    first.seed()
    run = t.run_btget("-q", "-d", first.target, "-p", "0", first.file,
                      second.file, third.file, code=4, preexec_fn=few)
    assert run.err().count("'same") == 2, run.err()
    first.check()


def season_and_part(t):
    """A torrent, and another one of its first file, which is complete."""
    whole = Scene(t, files=[("ep1", MIB), ("ep2", 2 * MIB)], name="Season")
    part = t.folder("part", "Season")
    os.link(os.path.join(whole.path, "ep1"), os.path.join(part, "ep1"))
    small = t.path("small.torrent")
    sample.make_torrent(part, whole.tracker.url).save(small)
    whole.plant(whole.target, range(MIB // whole.torrent.piece_length))
    os.remove(os.path.join(whole.result, "ep2"))
    t.run_btget("-d", whole.target, "-p", "0", small)
    return whole, small


@test(quick=True)
def test_what_is_complete_is_in_nobodys_way(t):
    """It has looked, and needs to write nothing."""
    whole, small = season_and_part(t)
    whole.seed()
    t.run_btget("-d", whole.target, "-p", "0", whole.file, small)
    whole.check()


@test(quick=True)
def test_what_is_complete_needs_not_wait_for_who_writes(t):
    """The other has all of it, and more."""
    whole, small = season_and_part(t)
    run = ["-d", whole.target, "-p", "0", small]
    seed = whole.seed_of(20)
    proc = whole.start()
    whole.wait_requests(seed, 21, proc)
    assert t.run_btget(*run).err() == ""
    assert t.run_btget("--check", *run).err() == ""
    assert proc.running()
    # Who seeds has to do with the data for as long as that takes.
    assert "at work on 'Season'" in t.run_btget(
        "--seed-time", "1s", *run, code=4).err()
    seed.go.set()
    proc.expect(0)
    whole.check()


@test()
def test_more_files_later_where_the_data_belongs_to_two(t):
    """What is on the side moves before anything is verified."""
    scene = Scene(t, files=[("a", MIB + 1000), ("b", MIB), ("c", MIB)])
    seed = scene.seed()
    scene.download("-f", "1")
    other = sample.make_torrent(scene.path, scene.tracker.url,
                                info={"source": "elsewhere"})
    other.save(t.path("other.torrent"))
    t.run_btget("-d", scene.target, "-p", "0", "-f", "1",
                t.path("other.torrent"), "--stall-timeout", "1s", code=5)
    scene.download()
    scene.check()
    assert seed.sent <= scene.torrent.length + scene.torrent.piece_length


@test()
def test_a_file_that_was_put_aside_claims_no_name(t):
    first, second = rivals(
        t, {"files": [("ep1", MIB), ("ep2", 2 * MIB)], "name": "Season",
            "seed": 1},
        {"files": [("ep3", MIB)], "name": "Season", "seed": 2})
    seed = first.slow_seed(0.005)
    end(first, seed, first.start("--sequential", "-f", "2"), 60,
        signal.SIGTERM)
    first.download("-f", "1")
    assert sample.list_tree(first.result) == ["ep1"]
    os.rename(first.result, first.result + " 1")
    second.download()
    refused(first, second)
    refused(first, second, "-f", "2")
    sample.assert_same(second.path, first.result)
    os.rename(first.result, first.result + " 2")
    first.download()
    first.check()


@test(quick=True)
def test_what_another_torrent_has_begun_is_not_put_aside(t):
    """It would have to fetch that again."""
    scene = Scene(t, files=[("a", MIB), ("b", 2 * MIB)])
    seed = scene.slow_seed(0.005)
    end(scene, seed, scene.start("--sequential"), 120, signal.SIGTERM)
    other = sample.make_torrent(scene.path, info={"source": "elsewhere"})
    other.save(t.path("other.torrent"))
    t.run_btget("-d", scene.target, "-p", "0", "-f", "1",
                t.path("other.torrent"))
    completes(scene, seed)


SHOW = [("e01", MIB), ("e02", MIB + 1000), ("e03", MIB)]


def overlapping(t, files, more, change):
    """Of one name: a torrent that is complete, and one to which change() is
    done, which has more files."""
    first = Scene(t, files=files, name="Show")
    second = Scene(t, files=files + more, name="Show")
    change(second)
    second.torrent = sample.make_torrent(second.path, second.tracker.url)
    second.content = sample.read_content(second.path)
    second.torrent.save(second.file)
    second.target = first.target
    first.seed()
    second.seed()
    first.download()
    return first, second


def put(scene, name, data, at=0):
    with open(os.path.join(scene.path, name), "r+b") as out:
        out.seek(at)
        out.write(data)


def not_in_common(scene, owner, name, *args):
    """It ends before anything of the other is written over."""
    err = scene.download(*args, code=4).err()
    assert "'Show/%s' is another torrent's, %s" % (
        name, owner.torrent.hex) in err, err


@test(quick=True)
def test_two_that_partly_overlap_are_not_both_complete(t):
    first, second = overlapping(t, SHOW, [], lambda scene: put(
        scene, "e02", sample.random_bytes(MIB + 1000, "other")))
    run = first.download(second.file, code=4)
    assert "'Show/e02' is another torrent's" in run.err(), run.err()
    first.check()
    not_in_common(second, first, "e02")
    first.check()
    # What they have in common belongs to both.
    second.download("-f", "1")
    first.download("--check")
    first.check()
    # And what is moved away is to come anew.
    os.remove(os.path.join(first.result, "e02"))
    second.download()
    sample.assert_same(second.path, first.result)
    not_in_common(first, second, "e02")
    sample.assert_same(second.path, first.result)


def overlaps(name, change, blamed):
    @test(quick=name in ("small", "longer"))
    def run(t):
        first, second = overlapping(t, SHOW + [("e03.nfo", 300)], [], change)
        run = first.download(second.file, code=4)
        assert "'Show/%s' is another torrent's" % blamed in run.err(), \
            run.err()
        first.check()
        first.download()
    return run


test_a_piece_that_is_not_in_common_is_spared = overlaps(
    "piece", lambda scene: put(scene, "e02", b"other", MIB // 2), "e02")
test_zeros_that_are_not_in_common_are_spared = overlaps(
    "zeros", lambda scene: put(scene, "e02", bytes(65536), MIB // 2), "e02")
test_a_small_file_that_is_not_in_common_is_spared = overlaps(
    "small", lambda scene: put(scene, "e03.nfo", b"other"), "e03.nfo")
test_a_longer_file_is_not_cut = overlaps(
    "longer", lambda scene: os.truncate(os.path.join(scene.path, "e03"),
                                        MIB // 2), "e03")
test_a_shorter_file_is_not_made_longer = overlaps(
    "shorter", lambda scene: put(scene, "e03", b"more", MIB), "e03")


def grown(t, change):
    """The small file shares its piece with what is not there."""
    return overlapping(t, [("e01", MIB), ("e01.nfo", 300)],
                       [("e02", MIB), ("e02.nfo", 300)], change)


@test(quick=True)
def test_more_episodes_come_to_those_that_are_there(t):
    first, second = grown(t, lambda scene: None)
    second.download()
    sample.assert_same(second.path, first.result)
    first.download()
    first.download("--check", second.file)


@test(quick=True)
def test_what_could_not_be_told_before_is_told_then(t):
    first, second = grown(t, lambda scene: put(scene, "e01.nfo", b"other"))
    run = second.download(code=4)
    assert "another torrent of this name, %s, had a file that is not the " \
        "same" % first.torrent.hex in run.err(), run.err()
    second.download()
    sample.assert_same(second.path, first.result)
    not_in_common(first, second, "e01.nfo")
    second.download("--check")


@test()
def test_a_file_that_another_torrent_has_begun_is_spared(t):
    first, second = overlapping(t, SHOW, [], lambda scene: put(
        scene, "e02", sample.random_bytes(MIB + 1000, "other")))
    first.target = second.target = t.path("again")
    first.tracker.static.clear()
    seed = first.slow_seed(0.005)
    end(first, seed, first.start("--sequential"), 100, signal.SIGTERM)
    err = second.download(code=4).err()
    assert "'Show.part/e02' is another torrent's" in err, err
    completes(first, seed)


def damage(path, at):
    """Which its looks do not tell."""
    times = os.stat(path)
    with open(path, "r+b") as out:
        out.seek(at)
        out.write(b"damage")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


@test(quick=True)
def test_damage_to_what_belongs_to_two_is_mended(t):
    """Of either, although the other has it as it looks."""
    first, second = overlapping(t, SHOW, [("e04", MIB)], lambda scene: None)
    second.download()
    first.download()
    path = os.path.join(first.result, "e02")
    for scene in (first, second):
        damage(path, MIB // 2)
        scene.download("--check")
        sample.assert_same(second.path, first.result)
        first.download(second.file)


@test(quick=True)
def test_damage_that_was_found_before_is_mended_too(t):
    """When it was, nobody had what had to come."""
    first, second = overlapping(t, SHOW, [("e04", MIB)], lambda scene: None)
    second.download()
    first.download()
    damage(os.path.join(first.result, "e02"), MIB // 2)
    sources = second.tracker.static[:]
    second.tracker.static.clear()
    for args in ["--check"], [], ["--check"]:
        second.download("--stall-timeout", "1s", *args, code=5)
    second.tracker.static[:] = sources
    second.download()
    sample.assert_same(second.path, first.result)
    first.download()


@test(quick=True)
def test_fewer_files_that_are_complete_claim_no_others(t):
    """Both have begun, and have what is there; one ends with one file."""
    first = Scene(t, files=[("f1", MIB), ("f2", MIB)], name="Show")
    other = t.path("other.torrent")
    sample.make_torrent(first.path, first.tracker.url,
                        info={"source": "elsewhere"}).save(other)
    seed = first.slow_seed(0.005)
    end(first, seed, first.start(), 64, signal.SIGTERM)
    run = ["-d", first.target, "-p", "0", "--stall-timeout", "1s", other]
    t.run_btget(*run, code=5)
    first.download("-f", "1")
    err = t.run_btget("-f", "2", *run, code=5).err()
    assert "another torrent" not in err, err
    completes(first, seed)


def overlap_of(scene):
    return scene.state.replace(".state", ".overlap")


READS = 4		# of what is claimed in a piece that cannot be told of


def looked_at(t):
    """Of two, the second one has a state, and has to look anew at what cannot
    be told of."""
    first, second = overlapping(t, [("e01", MIB + 50000)], [("e02", MIB)],
                                lambda scene: None)
    sources = second.tracker.static[:]
    second.tracker.static.clear()
    second.download("--stall-timeout", "1s", code=5)
    second.tracker.static[:] = sources
    os.remove(overlap_of(second))
    return first, second


@test()
def test_what_is_claimed_is_not_read_on_after_a_signal(t):
    first, second = looked_at(t)
    hold = Hold(t, second.target, "pread", 1)
    counted = Counted(t)
    proc = second.start(env=dict(counted.env, **hold.env))
    hold.wait(proc)
    hold.end(proc, signal.SIGTERM)
    assert counted.counts()["pread"] == 1, counted.counts()
    assert second.download(env=counted.env).err() == ""
    assert counted.counts()["pread"] >= READS, counted.counts()
    sample.assert_same(second.path, first.result)


@test()
def test_what_is_claimed_is_read_once_while_it_waits(t):
    first, second = looked_at(t)
    hold = Hold(t, first.target, "pread", 1)
    looks = first.start("--check", env=hold.env)
    hold.wait(looks)
    counted = Counted(t)
    run = second.download(code=4, env=counted.env)
    assert "another torrent is at work" in run.err(), run.err()
    assert counted.counts()["pread"] == READS, counted.counts()
    hold.release()
    looks.expect(0)
    second.download()


@test()
def test_what_is_claimed_and_cannot_be_read_is_fetched(t):
    """Of a bad disk, which has lost it to either."""
    first, second = looked_at(t)
    env = dict(t.env, LD_PRELOAD=library(t), FAULT="pread:2:EIO")
    second.download(env=env)
    sample.assert_same(second.path, first.result)
    first.download("--check", second.file)


def overwritten(t, number):
    """What the first torrent had is not the same, and a run of the second one
    is ended after that has come."""
    first, second = grown(t, lambda scene: put(scene, "e01.nfo", b"other"))
    second.tracker.static.clear()
    seed = second.seed_of(8)
    proc = second.start("--sequential")
    second.wait_requests(seed, 9, proc)
    path = os.path.join(first.result, "e01.nfo")
    wait_for(lambda: sample.read_file(path).startswith(b"other"), 20,
             "the piece", alive=[proc])
    proc.signal(number)
    proc.wait()
    seed.go.set()
    return first, second, path


def tells_of_it(number):
    def run(t):
        first, second, _ = overwritten(t, number)
        err = second.download(code=4).err()
        assert "another torrent of this name, %s, had a file that is not " \
            "the same" % first.torrent.hex in err, err
        assert not os.path.exists(overlap_of(second))
        second.download()
        sample.assert_same(second.path, first.result)
    return run


test_what_was_overwritten_is_told_by_a_later_run = \
    test(quick=True)(tells_of_it(signal.SIGTERM))
test_what_was_overwritten_is_told_after_kill_9 = \
    test()(tells_of_it(signal.SIGKILL))


@test()
def test_what_was_moved_away_is_told_of_no_more(t):
    first, second, path = overwritten(t, signal.SIGTERM)
    os.remove(path)
    second.download()
    assert not os.path.exists(overlap_of(second))
    sample.assert_same(second.path, first.result)
