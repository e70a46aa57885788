"""Goal: torrents of version 2 (BEP 52) and hybrids work like any other, both
ways with libtorrent and among ourselves: odd trees, resume, selection, bad
data; and the state is named by the hash."""
import hashlib
import json
import os

import clients
import peer
import sample
from harness import accepts, test, wait_for

MIB = 1 << 20
KINDS = ("v2", "hybrid")


class Data:
    """A tree, or a file of so many bytes, and a torrent of it."""

    def __init__(self, t, kind, size=None, piece_length="64K", maker=None):
        self.t, self.kind = t, kind
        self.source = t.folder("source")
        self.path = os.path.join(self.source, "data")
        if size is None:
            sample.make_tree(self.path)
        else:
            sample.make_file(self.path, size)
        self.file = t.path("it.torrent")
        if maker == "libtorrent":
            sample.make_torrent_by_libtorrent(self.path, self.file, kind)
        else:
            t.run_btget("create", "--" + kind, "--piece-length", piece_length,
                        "-o", self.file, self.path)
        with open(self.file, "rb") as data:
            self.meta = sample.bdecode(data.read())
        self.info = self.meta[b"info"]
        raw = sample.bencode(self.info)
        self.v1 = hashlib.sha1(raw).digest()
        self.v2 = hashlib.sha256(raw).digest()
        self.name = (self.v2 if kind == "v2" else self.v1).hex()

    def libtorrent(self, folder, *more, torrent=None, host="127.0.0.1"):
        one = clients.start_libtorrent(self.t, torrent or self.file, folder,
                                       host, *more)
        wait_for(lambda: accepts(host, one.port), 20, "listening libtorrent",
                 alive=[one.proc])
        return one

    def download(self, target, *args, **options):
        return self.t.run_btget("-d", target, "-p", "0", *args,
                                options.pop("torrent", self.file), **options)

    def check(self, target):
        sample.assert_same(self.path, os.path.join(target, "data"))


def same(want, got):
    try:
        sample.assert_same(want, got)
    except (AssertionError, OSError):
        return False
    return True


def where(client):
    return "127.0.0.1:%d" % client.port


def download_from(kind, maker):
    @test(needs="libtorrent", quick=True)
    def run(t):
        data = Data(t, kind, maker=maker)
        one = data.libtorrent(data.source)
        data.download(t.path("got"), "-P", where(one))
        data.check(t.path("got"))
    return run


test_v2_from_libtorrent = download_from("v2", "libtorrent")
test_hybrid_from_libtorrent = download_from("hybrid", "libtorrent")
test_our_v2_from_libtorrent = download_from("v2", "btget")
test_our_hybrid_from_libtorrent = download_from("hybrid", "btget")


def seed_to(kind, size=None, encrypt=False):
    @test(needs="libtorrent", quick=True)
    def run(t):
        data = Data(t, kind, size)
        seed = t.seed(data.file, data.source)
        target = t.folder("target")
        one = data.libtorrent(target, "--peer", where(seed),
                              *(["--encrypt"] if encrypt else []))
        wait_for(lambda: same(data.path, os.path.join(target, "data")), 30,
                 "complete copy", alive=[seed, one.proc])
    return run


test_v2_to_libtorrent = seed_to("v2")
test_hybrid_to_libtorrent = seed_to("hybrid")
test_one_v2_file_to_libtorrent = seed_to("v2", MIB + 12345)
test_v2_to_libtorrent_encrypted = seed_to("v2", encrypt=True)
test_hybrid_to_libtorrent_encrypted = seed_to("hybrid", encrypt=True)


@test(quick=True)
def test_ours_share_either_kind(t):
    for kind in KINDS:
        data = Data(t, kind)
        seed = t.seed(data.file, data.source)
        target = t.path("got-" + kind)
        done = data.download(target, "--progress=json", "-P", where(seed))
        data.check(target)
        events = [json.loads(line) for line in done.out().splitlines()]
        assert {e["info_hash"] for e in events if "info_hash" in e} == {
            data.name}, events
        files = os.listdir(os.path.join(target, ".btget"))
        assert data.name + ".state" in files, files
        t.run_btget("check", "-d", target, data.file)
        # Again: complete, without looking for anybody.
        data.download(target, "--stall-timeout", "1")


@test(quick=True)
def test_chosen_files_of_a_v2_torrent(t):
    data = Data(t, "v2")
    seed = t.seed(data.file, data.source)
    target = t.path("got")
    data.download(target, "-P", where(seed), "-f", "*one*")
    got = sample.read_tree(os.path.join(target, "data"))
    assert sorted(got) == ["a/b/one block", "a/b/one block and one",
                           "a/less one", "a/one byte"], sorted(got)
    want = sample.read_tree(data.path)
    assert all(want[name] == got[name] for name in got)
    data.download(target, "-P", where(seed))
    data.check(target)


@test(quick=True)
def test_resume_after_kill(t):
    for kind in KINDS:
        data = Data(t, kind, 6 * MIB + 4321)
        target = t.path("got-" + kind)
        seed = t.seed(data.file, data.source, "--up-limit", "2M")
        one = t.btget("-d", target, "-p", "0", "-P", where(seed), data.file)
        part = os.path.join(target, "data.part")
        wait_for(lambda: os.path.exists(part) and
                 os.stat(part).st_blocks * 512 > 2 * MIB, 30,
                 "some of the data", alive=[one])
        one.signal(9)
        one.wait()
        done = data.download(target, "-P", where(seed), "--progress=json")
        data.check(target)
        start = next(e for e in map(json.loads, done.out().splitlines())
                     if e["event"] == "start")
        assert start["done"] > 0, start


@test(needs="libtorrent", quick=True)
def test_bad_data_does_not_arrive(t):
    """One seeder has a wrong byte in a piece; another one is honest."""
    data = Data(t, "v2", 2 * MIB + 99)
    with open(data.path, "rb") as one:
        content = bytearray(one.read())
    content[MIB + 5] ^= 255
    liar = t.seed(data.file, data.source)   # has found the data right
    with open(data.path, "r+b") as one:
        one.seek(MIB + 5)
        one.write(content[MIB + 5:MIB + 6])
    honest = t.folder("honest")
    content[MIB + 5] ^= 255
    sample.write_file(os.path.join(honest, "data"), bytes(content))
    data.download(t.path("got"), "-P", where(liar), "--stall-timeout", "3",
                  code=6)
    one = data.libtorrent(honest, host="127.0.0.2")
    data.download(t.path("got"), "-P", "127.0.0.2:%d" % one.port)
    sample.assert_same(os.path.join(honest, "data"), t.path("got", "data"))


@test(quick=True)
def test_hybrid_whose_halves_disagree_is_given_up(t):
    data = Data(t, "hybrid", MIB)
    pieces = bytearray(data.info[b"pieces"])
    pieces[25] ^= 1
    data.info[b"pieces"] = bytes(pieces)
    file = sample.write_file(t.path("mixed"), sample.bencode(data.meta))
    with open(data.path, "rb") as one:
        content = one.read()
    torrent = sample.Torrent(sample.bencode(data.meta))
    seed = peer.Peer(t, torrent, content, peer.good_seed)
    done = data.download(t.path("got"), "-P", "%s:%d" % seed.where,
                         torrent=file, code=3)
    lines = done.err().splitlines()
    assert len(lines) == 1 and "v1" in lines[0] and "v2" in lines[0], lines
    assert not os.path.exists(t.path("got", "data"))
