"""Goal: btget works with the clients that others wrote, both ways: it
downloads from each as its only seeder, seeds to each, completes each other
from two halves, and takes its part in a mixed swarm; files that are empty,
odd or of one byte arrive too, and every byte is compared."""
import json
import os

import clients
import peer
import sample
from harness import SLOW, test, wait_for
from swarm import MIB, Scene


def same(want, got, without_empty=False):
    """Whether the trees are the same by now."""
    try:
        sample.assert_same(want, got, without_empty)
    except (AssertionError, OSError):
        return False
    return True


def download_from(name, **mark):
    @test(deadline=120, needs=clients.NEEDS[name], **mark)
    def run(t):
        scene = Scene(t, files=sample.ODD_TREE, host=clients.host_for(name))
        one = clients.start(t, name, scene, scene.source)
        wait_for(lambda: scene.tracker.seeders(scene.torrent), 60,
                 "announce of the seeder", alive=[one.proc])
        scene.download(seconds=90)
        scene.check()
    return run


test_download_from_libtorrent = download_from("libtorrent", quick=True)
test_download_from_aria2 = download_from("aria2", quick=True)
test_download_from_transmission = download_from("transmission")
test_download_from_rtorrent = download_from("rtorrent")
test_download_from_ctorrent = download_from("ctorrent")
test_download_from_qbittorrent = download_from("qbittorrent")


def seed_to(name, **mark):
    @test(deadline=150, needs=clients.NEEDS[name], **mark)
    def run(t):
        scene = Scene(t, files=sample.ODD_TREE, host=clients.host_for(name))
        seed = t.seed(scene.file, scene.source)
        wait_for(lambda: scene.tracker.seeders(scene.torrent), 30,
                 "announce of btget", alive=[seed])
        target = t.folder("target")
        one = clients.start(t, name, scene, target)
        wait_for(lambda: same(scene.path, os.path.join(target, "data"),
                              name in clients.NO_EMPTY), 120,
                 "complete copy", alive=[seed, one.proc])
    return run


test_seed_to_libtorrent = seed_to("libtorrent", quick=True)
test_seed_to_aria2 = seed_to("aria2")
test_seed_to_transmission = seed_to("transmission")
test_seed_to_rtorrent = seed_to("rtorrent")
test_seed_to_ctorrent = seed_to("ctorrent")
test_seed_to_qbittorrent = seed_to("qbittorrent")


def halves_with(name):
    @test(deadline=150, needs=clients.NEEDS[name])
    def run(t):
        scene = Scene(t, 4 * MIB + 777, host=clients.host_for(name))
        count = scene.torrent.piece_count
        other = t.folder("other")
        scene.plant(other, range(0, count, 2))
        scene.plant(scene.target, range(1, count, 2))
        one = clients.start(t, name, scene, other)
        mine = scene.start("--seed-time", "1h")
        wait_for(lambda: same(scene.path, scene.result) and
                 same(scene.path, os.path.join(other, "data.bin")), 120,
                 "two complete copies", alive=[mine, one.proc])
        notes = [a for a in scene.tracker.of(scene.torrent)
                 if a.peer_id.startswith(b"-bg")]
        half = sum(scene.torrent.piece_size(i) for i in range(0, count, 2))
        assert notes[0].left == half, notes[0]
        wait_for(lambda: mine.running() and any(
            a.event == "completed" for a in scene.tracker.of(scene.torrent)
            if a.peer_id.startswith(b"-bg")), 20, "completed at the tracker")
    return run


test_halves_with_libtorrent = halves_with("libtorrent")
test_halves_with_aria2 = halves_with("aria2")
test_halves_with_transmission = halves_with("transmission")
test_halves_with_rtorrent = halves_with("rtorrent")


@test(deadline=120, quick=True)
def test_two_of_ours_with_opposite_halves_upload_to_each_other(t):
    """Both send at full speed at once; were a thread to sit in its send,
    each would wait for the other for ever."""
    scene = Scene(t, 96 * MIB, piece_length=MIB)
    count = scene.torrent.piece_count
    folders = [t.folder("left"), t.folder("right")]
    for odd, folder in enumerate(folders):
        scene.plant(folder, range(odd, count, 2))
    procs = [t.btget("-d", f, "-p", "0", "--seed-time", "1h", scene.file)
             for f in folders]
    for folder in folders:
        wait_for(lambda: same(scene.path, os.path.join(folder, "data.bin")),
                 90, "complete copy", alive=procs)


@test(deadline=180, needs=("libtorrent", "aria2c", "rtorrent"))
def test_mixed_swarm_completes_everywhere(t):
    scene = Scene(t, 12 * MIB + 1)
    seed = t.seed(scene.file, scene.source, "--up-limit", "4M")
    folders, procs = [], [seed]
    for name in ("libtorrent", "aria2", "rtorrent", "libtorrent"):
        folders.append(t.folder("to-%d-%s" % (len(folders), name)))
        procs.append(clients.STARTERS[name](
            t, scene.file, folders[-1]).proc)
    for _ in range(3):
        folders.append(t.folder("to-%d-btget" % len(folders)))
        procs.append(t.btget("-d", folders[-1], "-p", "0", "--seed-time",
                             "1h", scene.file))
    for folder in folders:
        wait_for(lambda: same(scene.path, os.path.join(folder, "data.bin")),
                 150, "copy in " + folder, alive=procs)


@test(needs="libtorrent")
def test_hybrid_torrent_is_downloaded_by_its_v1_half(t):
    path = sample.make_tree(os.path.join(t.folder("source"), "data"))
    scene = Scene(t, 1)
    file = sample.make_torrent_by_libtorrent(
        path, t.path("hybrid.torrent"), "hybrid", scene.tracker.url)
    one = clients.start_libtorrent(t, file, t.path("source"))
    with open(file, "rb") as data:
        torrent = sample.Torrent(data.read())
    wait_for(lambda: scene.tracker.seeders(torrent), 30,
             "announce of the seeder", alive=[one.proc])
    t.run_btget("-d", t.path("got"), "-p", "0", file)
    sample.assert_same(path, t.path("got", "data"))


def shaped(size=0, **how):
    """A download of an odd shape from a scripted seed."""
    @test(quick=True)
    def run(t):
        scene = Scene(t, size, **how)
        scene.seed()
        scene.download()
        scene.check()
    return run


test_one_byte = shaped(1)
test_pieces_of_one_byte = shaped(3000, piece_length=1)
test_pieces_that_blocks_do_not_divide = shaped(2 * MIB + 5,
                                               piece_length=50001)
test_pieces_larger_than_all = shaped(100000, piece_length=64 * MIB)
test_a_folder_of_many_small_files = shaped(files=[
    ("d%d/f%d" % (i % 10, i), (i * 7919) % 3000) for i in range(500)])
test_a_folder_of_one_file = shaped(files=[("only", 70000)])
test_only_empty_files_and_a_byte = shaped(files=[
    ("a", 0), ("b", 1), ("c", 0)])


BITCOMET = "_____padding_file_0_if you see this file, please update to " \
           "BitComet 0.85 or above____"


def padded(t, fill, name=".pad/65436"):
    """Two files, the second one at 64 KiB; and the file that is padding."""
    files = [("a", 100), (name, 0), ("b", 200000)]
    scene = Scene(t, files=files, order=[name for name, _ in files])
    pad = os.path.join(scene.path, name)
    sample.write_file(pad, bytes([fill]) * 65436)
    scene.torrent = sample.make_torrent(
        scene.path, scene.tracker.url, order=[n for n, _ in files])
    info = dict(scene.torrent.info)
    info[b"files"] = [dict(f) for f in info[b"files"]]
    if name != BITCOMET:
        info[b"files"][1][b"attr"] = b"p"
    meta = dict(scene.torrent.meta)
    meta[b"info"] = info
    scene.torrent = sample.Torrent(sample.bencode(meta))
    scene.torrent.save(scene.file)
    scene.content = sample.read_content(scene.path, [n for n, _ in files])
    return scene, pad


@test(quick=True)
def test_pad_files_are_not_written(t):
    """BEP 47: their bytes are zeros, never appear, and need not be sent."""
    scene, pad = padded(t, 0)
    seed = scene.seed()
    scene.download()
    os.remove(pad)
    os.rmdir(os.path.dirname(pad))
    scene.check()
    asked = {index * scene.torrent.piece_length + begin
             for index, begin, _ in seed.requests}
    assert asked == {0, *range(65536, 265536, 16384)}, asked


@test(quick=True)
def test_padding_that_its_name_tells_is_not_written(t):
    """As BitComet made it, without the attribute; and it is not listed."""
    scene, pad = padded(t, 0, BITCOMET)
    seed = scene.seed()
    scene.download()
    os.remove(pad)
    scene.check()
    assert len(seed.requests) == 1 + 13, seed.requests
    shown = json.loads(t.run_btget("show", "--json", scene.file).out())
    assert [f["path"] for f in shown["files"]] == ["a", "b"], shown
    assert shown["length"] == 200100, shown


@test(quick=True)
def test_who_lies_about_a_padded_piece_is_banned(t):
    """All of it that came is his."""
    scene, _ = padded(t, 0)

    def lies(one, conn):
        peer.greet(one, conn)
        peer.serve(one, conn, lambda index, begin, length: bytes(length))
    liar = scene.seed(lies, host="127.0.0.5")
    run = scene.download("-v", "--deadline", "%g" % (4 * SLOW), code=6)
    assert "127.0.0.5 is banned" in run.err(), run.err()
    assert liar.connections == 1


def no_zeros(name):
    """What `get` calls complete must be so for `check`."""
    @test()
    def run(t):
        scene, _ = padded(t, 1, name)
        scene.seed()
        scene.download("--deadline", "%g" % (4 * SLOW), code=6)
        t.run_btget("check", "-d", scene.target, scene.file, code=6)
        assert not os.path.exists(scene.result)
    return run


test_padding_that_is_no_zeros_is_never_right = no_zeros(".pad/65436")
test_padding_by_name_that_is_no_zeros_is_never_right = no_zeros(BITCOMET)
