"""Goal: what is downloaded, in which order, and how it takes its space, is
what was asked for. Only selected files appear, sizes and percentages are of
them, and another selection in a later run never trusts a wrong byte."""
import contextlib
import json
import os
import random
import shutil
import signal
import struct
import time

import peer
import sample
from harness import SLOW, test, wait_for
from swarm import MIB, Scene
from test_disk import mount, small_disk


@test(quick=True)
def test_sequential_asks_in_order(t):
    scene = Scene(t, 2 * MIB + 5)
    seed = scene.seed()
    scene.download("--sequential")
    scene.check()
    pieces = [index for index, _, _ in seed.requests]
    assert pieces == sorted(pieces), pieces


@test(quick=True)
def test_without_allocation_files_grow(t):
    """The first piece alone is there: the file ends behind it, and a second
    run completes it."""
    scene = Scene(t, 4 * MIB)
    seed = scene.slow_seed(0.01)
    run = scene.start("--sequential", "--allocation=none")
    scene.wait_requests(seed, 20, run)
    wait_for(lambda: os.path.exists(scene.part), 10, "data")
    size = os.path.getsize(scene.part)
    assert size < 4 * MIB, size
    run.signal(15)
    run.expect(143, 10)
    scene.download("--allocation=none")
    scene.check()


@test()
def test_each_allocation_makes_the_same_tree(t):
    scene = Scene(t, files=(("a/x", 100000), ("b", 0), ("c", 70001)))
    scene.seed()
    for how in ("none", "sparse", "full"):
        scene.target = t.path("target-" + how)
        scene.download("--allocation=" + how)
        scene.check()


# ---- --files

# Pieces are 64 KiB: the first three files share one, and so do others.
TREE = (("a.txt", 20000), ("b/big.iso", 300000), ("b/c.txt", 1000),
        ("d.iso", 200001), ("e.bin", 150000))


def tree(t, **more):
    return Scene(t, files=TREE, **more)


def names(scene, part=False):
    root = scene.part if part else scene.result
    return sample.list_tree(root)


def same(scene, wanted):
    """Exactly these files are there, and right."""
    assert names(scene) == wanted, names(scene)
    for name in wanted:
        with open(os.path.join(scene.path, name), "rb") as a, \
                open(os.path.join(scene.result, name), "rb") as b:
            assert a.read() == b.read(), name


def sizes(wanted):
    return sum(size for name, size in TREE if name in wanted)


@test(quick=True)
def test_only_selected_files_are_made(t):
    for list_, wanted in (
            ("1", ["a.txt"]), ("2-3", ["b/big.iso", "b/c.txt"]),
            ("*.iso,!d*", ["b/big.iso"]), ("b/*", ["b/big.iso", "b/c.txt"]),
            ("!*.iso", ["a.txt", "b/c.txt", "e.bin"]),
            ("4,5", ["d.iso", "e.bin"])):
        scene = tree(t)
        seed = scene.seed()
        run = scene.download("-f", list_, "--progress=json")
        same(scene, wanted)
        events = [json.loads(line) for line in run.out().splitlines()]
        length = sizes(wanted)
        assert events[0]["event"] == "start"
        assert events[0]["length"] == length, events[0]
        assert all(e["length"] == length and e["done"] <= length
                   for e in events if e["event"] == "progress")
        told = [e["path"] for e in events if e["event"] == "file"]
        assert sorted(told) == wanted, told
        assert events[-1]["code"] == 0
        # Only what these pieces hold was asked for.
        asked = len({r[0] for r in seed.requests})
        assert asked <= len(wanted) + length // 65536 + 2


@test(quick=True)
def test_a_partial_download_is_done_when_run_again(t):
    scene = tree(t)
    scene.seed()
    scene.download("-f", "1,4")
    asked = len(scene.tracker.requests)
    started = time.monotonic()
    scene.download("-f", "1,4")
    assert time.monotonic() - started < 2 * SLOW
    assert len(scene.tracker.requests) == asked, "it asked the tracker"
    same(scene, ["a.txt", "d.iso"])


@test(quick=True)
def test_trackers_hear_the_truth(t):
    """What is left is about wanted files; a part is never `completed`."""
    scene = tree(t)
    scene.seed()
    scene.download("-f", "3")
    first = scene.tracker.of(scene.torrent)[0]
    assert first.left == 1000, first.left
    assert not scene.tracker.of(scene.torrent, "completed")
    scene.download()
    assert scene.tracker.of(scene.torrent, "completed")
    scene.check()


@test(quick=True)
def test_more_files_later(t):
    scene = tree(t)
    scene.seed()
    scene.download("-f", "1,5")
    same(scene, ["a.txt", "e.bin"])
    scene.download("-f", "1,3")
    same(scene, ["a.txt", "b/c.txt", "e.bin"])
    scene.download("-f", "2-")
    scene.check()
    side = scene.state[:-len("state")] + "side"
    scene.download()
    scene.check()
    assert not os.path.exists(side), "the side file is left"


@test(quick=True)
def test_more_files_later_cost_nothing_that_is_there(t):
    """Small files, several to a piece: with every second one all of them
    came, and the others need no network."""
    scene = Scene(t, files=[("f%02d" % i, 30000) for i in range(39)])
    seed = scene.seed()
    scene.download("-f", ",".join(map(str, range(1, 40, 2))))
    scene.tracker.static.remove(seed.where)
    scene.download()
    scene.check()


@test(quick=True)
def test_no_piece_on_a_border_comes_twice(t):
    scene = tree(t)
    seed = scene.seed()
    for list_ in ("3", "1,4", "5", "2-"):
        scene.download("-f", list_)
        asked = sorted(seed.requests)
        twice = [a for a, b in zip(asked, asked[1:]) if a == b]
        assert not twice, (list_, twice)
    scene.download()
    scene.check()


@test(quick=True)
def test_fewer_files_later_need_no_network(t):
    scene = tree(t)
    seed = scene.seed()
    scene.download()
    asked = len(scene.tracker.requests), len(seed.requests)
    for list_ in ("2", "1,4", "!2", "3"):
        scene.download("-f", list_)
    scene.download()
    scene.check()
    assert asked == (len(scene.tracker.requests), len(seed.requests))


@test(quick=True)
def test_the_first_selection_again_needs_no_network(t):
    """The one between shares no piece with what it left out, so that it has
    no use for what is kept of the other's borders."""
    scene = Scene(t, files=[("a", 65536), ("b", 65536), ("c", 70000),
                            ("d", 100)], piece_length=65536)
    seed = scene.seed()
    scene.download("--files=c")
    scene.download("--files=b")
    scene.tracker.static.remove(seed.where)
    scene.download("--files=c")
    assert sample.list_tree(scene.result) == ["b", "c"]
    assert len(seed.requests) == len(set(seed.requests))


@test(deadline=120)
def test_any_order_of_selections_ends_right(t):
    """Runs that are cut off and go on with other files, again and again:
    what is called complete is right, and at the end all is."""
    scene = tree(t)
    seed = scene.slow_seed(0.004)
    chance = random.Random(4)
    for turn in range(14):
        picked = sorted(chance.sample(range(1, 6), chance.randint(1, 4)))
        run = scene.start("-f", ",".join(map(str, picked)),
                          *(["--check"] if turn % 5 == 4 else []))
        if chance.random() < 0.6:
            wait = len(seed.requests) + chance.randint(1, 12)
            end = time.monotonic() + 3
            while run.running() and len(seed.requests) < wait and \
                    time.monotonic() < end:
                time.sleep(0.005)
            run.signal(chance.choice([signal.SIGTERM, signal.SIGKILL]))
            run.wait()
        else:
            run.expect(0)
        if run.code == 0:
            for number in picked:
                name = TREE[number - 1][0]
                with open(os.path.join(scene.path, name), "rb") as a, \
                        open(os.path.join(scene.result, name), "rb") as b:
                    assert a.read() == b.read(), (turn, picked, name)
    scene.download()
    scene.check()


# ---- what lies there, and no state knows

def whole_elsewhere(t, **more):
    """All of it is there, by another client, and nobody has it to give."""
    scene = tree(t, **more)
    os.makedirs(scene.target)
    shutil.copytree(scene.path, scene.result)
    return scene


@test(quick=True)
def test_a_border_is_taken_from_a_file_that_was_touched(t):
    scene = tree(t)
    seed = scene.seed()
    scene.download()
    scene.tracker.static.remove(seed.where)
    for name, _ in TREE[1::2]:
        os.utime(os.path.join(scene.result, name), (1, 1))
    scene.download("-f", "1,3,5")
    scene.check()
    scene.download()
    scene.check()


@test(quick=True)
def test_a_border_is_taken_from_what_another_client_left(t):
    for list_ in ("1", "2", "3", "1,4", "!3", "5"):
        scene = whole_elsewhere(t)
        scene.download("-f", list_)
        scene.download("-f", list_)
        scene.check()
        scene.download()
        scene.check()


def alternating(count, size):
    return [("%03d.%s" % (n, "ab"[n % 2]), size) for n in range(count)]


@test()
def test_many_borders_are_looked_at_in_turns(t):
    """Nearly each piece is on one."""
    scene = Scene(t, files=alternating(24, 4 * MIB + 1),
                  piece_length=4 * MIB)
    os.makedirs(scene.target)
    shutil.copytree(scene.path, scene.result)
    scene.download("-f", "*.a")
    scene.download()
    scene.check()


@test(needs="namespaces", quick=True)
def test_borders_are_not_taken_where_there_is_no_room(t):
    """What the other files have on them would leave too little for a wanted
    one that is missing.  Without them it does not fit either, and that is
    said before anything comes."""
    big = 3 * MIB
    scene = Scene(t, files=alternating(160, 50000) + [("big.a", big)])
    small_disk(scene, 17 * MIB // 2 + 4 * MIB)
    shutil.copytree(scene.path, scene.result)
    os.unlink(os.path.join(scene.result, "big.a"))
    run = scene.start("-f", "*.a")
    run.expect(4, 20)
    assert "No space left on device (needs " in run.err(), run.err()
    assert not scene.tracker.requests
    disk = os.statvfs(scene.target)
    assert disk.f_bavail * disk.f_frsize >= big, disk
    mount("-o", "remount,size=%d" % (32 * MIB), scene.target)
    seed = scene.seed()
    scene.download("-f", "*.a")
    assert seed.sent < big + 4 * 65536, seed.sent
    scene.download()
    scene.check()


@test(quick=True)
def test_a_border_is_put_together_of_a_file_and_the_side(t):
    """Of a piece with three files one was never wanted, and lies on the side;
    one was changed in its looks alone."""
    scene = Scene(t, files=[("a", 20000), ("b", 20000), ("c", 20000)],
                  piece_length=65536)
    seed = scene.seed()
    scene.download("-f", "1,2")
    scene.tracker.static.remove(seed.where)
    os.utime(os.path.join(scene.result, "b"), (1, 1))
    scene.download("-f", "1")
    scene.download()
    scene.check()


@test(quick=True)
def test_the_same_data_of_other_pieces_is_no_other_torrents(t):
    scene = tree(t)
    seed = scene.seed()
    scene.download()
    scene.tracker.static.remove(seed.where)
    again = sample.make_torrent(scene.path, scene.tracker.url,
                                piece_length=262144)
    scene.file = again.save(t.path("again.torrent"))
    scene.download("-f", "3")
    scene.check()


@test(quick=True)
def test_a_border_is_not_taken_from_what_is_wrong(t):
    """Nor from what is no file; and what the side has is not given up."""
    scene = tree(t)
    scene.seed()
    scene.download("-f", "3")
    one = os.path.join(scene.result, TREE[1][0])
    two = os.path.join(scene.result, TREE[3][0])
    for plant in (lambda: sample.make_file(one, TREE[1][1], "other"),
                  lambda: sample.make_file(one, 100),
                  lambda: os.mkfifo(one), lambda: os.mkdir(one),
                  lambda: os.symlink(
                      os.path.join(scene.path, TREE[1][0]), one)):
        plant()
        shutil.copyfile(os.path.join(scene.path, TREE[3][0]), two)
        asked = len(scene.tracker.requests)
        scene.download("-f", "3")
        assert asked == len(scene.tracker.requests)
        os.unlink(scene.state)
        scene.download("-f", "3")
        assert asked == len(scene.tracker.requests)
        os.unlink(two)
        if os.path.isdir(one):
            os.rmdir(one)
        else:
            os.unlink(one)


# ---- what was begun, and is wanted no more

def aside(scene):
    folder = scene.state[:-len("state")] + "aside"
    return sorted(os.listdir(folder)) if os.path.exists(folder) else None


def begin(scene, list_, number=signal.SIGTERM):
    """Some of it, and then nobody is left to get more from."""
    seed = scene.seed_of(13)
    run = scene.start("--sequential", "-f", list_)
    scene.wait_requests(seed, 14, run)
    run.signal(number)
    run.wait(10)
    scene.tracker.static.remove(seed.where)
    return seed


@test(quick=True)
def test_a_file_that_was_begun_is_hidden_until_it_is_whole(t):
    scene = tree(t)
    seeds = [begin(scene, "2"), scene.seed()]
    assert names(scene, part=True) == ["b/big.iso"]
    scene.download("-f", "1")
    same(scene, ["a.txt"])
    assert aside(scene) == ["2"], aside(scene)
    # That was all; and one more file is no reason to show it either.
    asked = len(scene.tracker.requests)
    scene.download("-f", "1")
    assert len(scene.tracker.requests) == asked, "it asked the tracker"
    scene.download("-f", "1,5")
    same(scene, ["a.txt", "e.bin"])
    assert aside(scene) == ["2"], aside(scene)
    scene.download()
    scene.check()
    assert aside(scene) is None, aside(scene)
    # What was there was not fetched again.
    asked = [one[:2] for seed in seeds for one in seed.requests]
    again = len(asked) - len(set(asked))
    assert again <= 8, "%d blocks came again" % again


@test(quick=True)
def test_a_hidden_file_grows_where_it_is(t):
    scene = tree(t)
    begin(scene, "2")
    seed = scene.seed()
    scene.download("-f", "1")
    scene.tracker.static.remove(seed.where)
    folder = scene.state[:-len("state")] + "aside"
    before = os.stat(os.path.join(folder, "2")).st_blocks
    slow = scene.seed_of(5)
    run = scene.start("--sequential", "-f", "2")
    scene.wait_requests(slow, 6, run)
    wait_for(lambda: os.stat(os.path.join(folder, "2")).st_blocks > before,
             20, "it to grow", alive=[run])
    run.signal(15)
    run.expect(143, 10)
    same(scene, ["a.txt"])
    scene.tracker.static[:] = [seed.where]
    scene.download("-f", "2")
    same(scene, ["a.txt", "b/big.iso"])
    assert aside(scene) is None, aside(scene)


@test(quick=True)
def test_a_file_of_a_run_that_was_killed_is_hidden_too(t):
    """Whatever its state knew of it."""
    scene = tree(t)
    begin(scene, "2", signal.SIGKILL)
    assert names(scene, part=True) == ["b/big.iso"]
    scene.seed()
    scene.download("-f", "4")
    same(scene, ["d.iso"])
    assert aside(scene) == ["2"], aside(scene)
    os.unlink(scene.state)
    scene.download("-f", "1")
    same(scene, ["a.txt", "d.iso"])
    scene.download()
    scene.check()
    assert aside(scene) is None, aside(scene)


@test(quick=True)
def test_a_file_that_was_begun_in_place_is_hidden_as_well(t):
    """There is a folder of this name, with something of the user's own."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        scene = tree(t)
        mine = os.path.join(scene.result, "b", "mine")
        sample.write_file(mine, b"mine")
        begin(scene, "2,4")
        assert names(scene) == ["b/big.iso", "b/mine"], names(scene)
        if number == signal.SIGKILL:
            # Its state is older than the file.
            os.utime(os.path.join(scene.result, "b", "big.iso"))
        scene.seed()
        scene.download("-f", "1,4")
        assert names(scene) == ["a.txt", "b/mine", "d.iso"], names(scene)
        assert aside(scene) == ["2"], aside(scene)
        os.unlink(mine)
        scene.download()
        scene.check()
        assert aside(scene) is None, aside(scene)


@test(quick=True)
def test_what_has_been_put_in_place_of_a_begun_file_stays(t):
    """It is the user's own, or whole."""
    for mine in (b"mine", None):
        scene = tree(t)
        path = os.path.join(scene.result, "b", "big.iso")
        sample.write_file(os.path.join(scene.result, "b", "c.txt"), b"mine")
        begin(scene, "2,4")
        if mine is None:
            with open(os.path.join(scene.path, "b", "big.iso"), "rb") as it:
                mine = it.read()
        os.unlink(path)
        sample.write_file(path, mine)
        scene.seed()
        scene.download("-f", "1,3,4")
        assert sample.read_file(path) == mine
        assert aside(scene) is None, aside(scene)


@test(quick=True)
def test_a_file_put_in_place_stays_without_its_neighbours(t):
    """Pieces on its borders cannot be verified then."""
    scene = tree(t)
    path = os.path.join(scene.result, "b", "big.iso")
    sample.write_file(os.path.join(scene.result, "mine"), b"mine")
    begin(scene, "2,4")
    os.unlink(path)
    mine = sample.read_file(os.path.join(scene.path, "b", "big.iso"))
    sample.write_file(path, mine)
    seed = scene.seed()
    scene.download("-f", "4")
    assert sample.read_file(path) == mine
    assert aside(scene) is None, aside(scene)
    scene.tracker.static.remove(seed.where)
    # One block on a border is missing: that it was begun is all we know.
    scene = tree(t)
    sample.write_file(os.path.join(scene.result, "mine"), b"mine")
    begin(scene, "2,4")
    path = os.path.join(scene.result, "b", "big.iso")
    os.unlink(path)
    sample.write_file(path, mine[:-20000] + bytes(20000))
    scene.seed()
    scene.download("-f", "4")
    assert aside(scene) == ["2"], aside(scene)


@test(quick=True)
def test_zeros_in_place_of_a_begun_file_stay(t):
    """Though one of its pieces is nothing else."""
    scene = tree(t)
    whole = os.path.join(scene.path, "b", "big.iso")
    data = bytearray(sample.read_file(whole))
    data[160000:260000] = bytes(100000)
    sample.write_file(whole, data)
    scene.torrent = sample.make_torrent(scene.path, scene.tracker.url)
    scene.content = sample.read_content(scene.path)
    scene.torrent.save(scene.file)
    path = os.path.join(scene.result, "b", "big.iso")
    sample.write_file(os.path.join(scene.result, "mine"), b"mine")
    begin(scene, "2,4")
    os.unlink(path)
    sample.write_file(path, bytes(250000))
    scene.seed()
    scene.download("-f", "4")
    assert sample.read_file(path) == bytes(250000)
    assert aside(scene) is None, aside(scene)


@test(quick=True)
def test_what_was_whole_in_place_stays(t):
    """Though its time has changed since, and it is wanted no more."""
    scene = tree(t)
    scene.seed()
    scene.download("-f", "1,2")
    os.utime(os.path.join(scene.result, "b", "big.iso"), (1, 1))
    scene.download("-f", "1,4")
    same(scene, ["a.txt", "b/big.iso", "d.iso"])
    assert aside(scene) is None, aside(scene)


@test(quick=True)
def test_a_folder_of_nothing_but_hidden_files_is_none(t):
    scene = tree(t)
    begin(scene, "2")
    scene.seed()
    scene.download("-f", "1")
    assert sorted(os.listdir(scene.result)) == ["a.txt"]
    scene.download()
    scene.check()


@test(quick=True)
def test_what_is_whole_by_then_is_shown(t):
    scene = tree(t)
    scene.seed()
    scene.download("-f", "1,3")
    os.rename(scene.result, scene.part)
    scene.download("-f", "1")
    assert names(scene) == ["a.txt", "b/c.txt"], names(scene)
    assert aside(scene) is None


@test(quick=True)
def test_a_file_of_the_users_own_is_left_alone(t):
    """A file that was not selected may be anything; not a byte of it
    changes, though pieces on the border lie in it."""
    scene = tree(t)
    scene.seed()
    mine = os.path.join(scene.result, "b", "big.iso")
    sample.write_file(mine, b"mine")
    scene.download("-f", "1,3")
    with open(mine, "rb") as data:
        assert data.read() == b"mine"
    same_size = sample.random_bytes(300000, "mine")
    sample.write_file(mine, same_size)
    scene.download("-f", "1,3,4")
    with open(mine, "rb") as data:
        assert data.read() == same_size


@test(quick=True)
def test_nothing_selected_ends_with_2(t):
    scene = tree(t)
    run = scene.download("-f", "*.mp3", code=2)
    assert run.err() == "btget: data: --files: no file is selected (btget " \
        "show lists them)\n", run.err()
    assert not os.path.exists(scene.result)
    assert not os.path.exists(scene.part)


@test(quick=True)
def test_an_item_that_names_nothing_is_warned_of(t):
    scene = tree(t)
    scene.seed()
    run = scene.download("-f", "1,99")
    assert run.err() == "btget: data: --files: '99' names no file\n", \
        run.err()
    same(scene, ["a.txt"])


@test(quick=True)
def test_a_file_that_was_too_long_for_another_selection_is_cut(t):
    """What it has is right, so that it waits for nothing but the end."""
    scene = Scene(t, files=[("a", MIB), ("b", 3 * 65536)])
    path = os.path.join(scene.result, "b")
    sample.write_file(path, sample.read_file(
        os.path.join(scene.path, "b")) + b"more")
    scene.download("--deadline", "1s", code=5)
    scene.seed()
    scene.download("-f", "1")
    assert os.path.getsize(path) == 3 * 65536 + 4
    scene.download()
    scene.check()


@test(quick=True)
def test_other_clients_get_what_is_there(t):
    """A partial seed serves its pieces, border pieces too."""
    scene = tree(t)
    scene.seed()
    scene.download("-f", "1,2")
    seed = t.seed(scene.file, scene.target, "-f", "1,2")
    others = tree(t)
    others.target = t.path("other")
    t.run_btget("-d", others.target, "-p", "0", "-f", "2", "-P",
                "127.0.0.1:%d" % seed.port, "--no-config", scene.file)
    same(others, ["b/big.iso"])


@test(quick=True)
def test_a_magnet_link_selects(t):
    """so= counts from 0; --files wins over it."""
    scene = tree(t)
    scene.plant(t.path("seed"), range(scene.torrent.piece_count))
    seed = t.seed(scene.file, t.path("seed"))
    link = "magnet:?xt=urn:btih:%s&so=0,3-4" % scene.torrent.hex
    scene.file = link
    scene.download("-P", "127.0.0.1:%d" % seed.port)
    same(scene, ["a.txt", "d.iso", "e.bin"])
    scene.target = t.path("other")
    scene.download("-P", "127.0.0.1:%d" % seed.port, "-f", "3")
    same(scene, ["b/c.txt"])


# ---- BEP 21: partial seeds

@test(quick=True)
def test_a_partial_seed_says_paused_each_time(t):
    scene = tree(t, tracker={"interval": 5})
    seed = scene.seed()
    run = scene.start("-f", "3", "--seed-time", "1h")
    wait_for(lambda: len([a for a in scene.tracker.of(scene.torrent)
                          if a.event == "paused"]) >= 2, 30,
             "two announces of a partial seed", alive=[run])
    run.signal(15)
    run.expect(143, 10)
    told = scene.tracker.of(scene.torrent)
    assert told[0].event == "started" and told[-1].event == "stopped", told
    first = [a.event for a in told].index("paused")
    assert all(a.event == "paused" for a in told[first:-1]), told
    assert all(a.left > 0 for a in told), told
    # From the first word on, where it is one from the start.
    before = len(told)
    run = scene.start("-f", "3", "--seed-time", "1h")
    wait_for(lambda: len(scene.tracker.of(scene.torrent)) > before, 10,
             "an announce", alive=[run])
    run.signal(15)
    run.expect(143, 10)
    told = scene.tracker.of(scene.torrent)[before:]
    assert [a.event for a in told] == ["paused", "stopped"], told
    assert seed.requests


@test(quick=True)
def test_two_partial_seeds_part(t):
    """A peer that says upload_only, and has only a part, keeps its place as
    long as there is something to get from it, and no longer."""
    scene = tree(t)
    told, freed = [], []

    def partial(one, conn):
        # It says that it wants nothing, and has the first three pieces.
        peer.greet(one, conn, reserved=peer.EXTENSIONS)
        conn.write(peer.extended(0, sample.bencode({"upload_only": 1})))
        with contextlib.suppress(peer.Closed):
            while True:
                kind, payload = conn.message()
                if kind == peer.REQUEST:
                    index, begin, length = struct.unpack(">III", payload)
                    conn.piece(index, begin, one.block(index, begin, length))
                if kind == peer.EXTENDED and payload[0] == 0:
                    told.append(b"upload_onlyi1e" in payload)
        freed.append(True)

    scene.seed(partial)
    run = scene.start("-f", "3", "--seed-time", "1h")
    wait_for(lambda: freed, 20, "the end of the connection", alive=[run])
    assert told in ([False], [False, True]), told
    # The file gets its name once the data is on disk, after the farewell.
    wait_for(lambda: names(scene) == ["b/c.txt"], 10, "the file's name",
             alive=[run])
    same(scene, ["b/c.txt"])
    run.signal(15)
    run.expect(143, 10)
