"""Goal: torrents of version 2 (BEP 52) and hybrids work like any other, both
ways with libtorrent and among ourselves: odd trees, resume, selection, bad
data; and the state is named by the hash."""
import contextlib
import hashlib
import json
import os
import pty
import shutil
import struct
import time
import urllib.parse

import clients
import peer
import sample
import tracker
import web
from harness import OFFLINE, SLOW, accepts, free_port, test, wait_for

MIB = 1 << 20
KINDS = ("v2", "hybrid")


class Data:
    """A tree, or a file of so many bytes, and a torrent of it."""

    def __init__(self, t, kind, size=None, piece_length="64K", maker=None,
                 **tree):
        self.t, self.kind = t, kind
        self.source = t.folder("source")
        self.path = os.path.join(self.source, "data")
        if size is None:
            sample.make_tree(self.path, **tree)
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

    def seeder(self, folder, **options):
        """A libtorrent that has found all of it there."""
        one = self.libtorrent(folder, **options)
        wait_for(lambda: '"seeding": true' in one.proc.out(), 20,
                 "seeding libtorrent", alive=[one.proc])
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
        one = data.seeder(data.source)
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
def test_a_file_that_was_begun_is_hidden(t):
    for kind in KINDS:
        data = Data(t, kind, files=[("a", 200000), ("b", 4 * MIB)])
        target = t.path("got-" + kind)
        seed = t.seed(data.file, data.source, "--up-limit", "2M")
        one = t.btget("-d", target, "-p", "0", "-P", where(seed), "-f", "2",
                      data.file)
        part = os.path.join(target, "data.part", "b")
        wait_for(lambda: os.path.exists(part) and
                 os.stat(part).st_blocks * 512 > MIB, 30, "some of the data",
                 alive=[one])
        one.signal(15)
        one.expect(143)
        data.download(target, "-P", where(seed), "-f", "1")
        assert sample.list_tree(os.path.join(target, "data")) == ["a"]
        aside = os.path.join(target, ".btget", data.name + ".aside")
        assert len(os.listdir(aside)) == 1
        done = data.download(target, "-P", where(seed), "--progress=json")
        data.check(target)
        assert not os.path.exists(aside)
        start = next(e for e in map(json.loads, done.out().splitlines())
                     if e["event"] == "start")
        assert start["done"] > 200000 + MIB // 2, start


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
    data.download(t.path("got"), "-P", where(liar), "--stall-timeout",
                  "%g" % (3 * SLOW), code=6)
    one = data.seeder(honest, host="127.0.0.2")
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


class Lone(Data):
    """A folder with one file of another name, whose torrent is the file."""

    def __init__(self, t):
        super().__init__(t, "v2", files=[("x.bin", 300000)])
        self.lone = os.path.join(self.path, "x.bin")

    def check(self, target):
        sample.assert_same(self.lone, os.path.join(target, "x.bin"))


@test(needs="libtorrent", quick=True)
def test_a_tree_of_one_file_is_the_file(t):
    """As libtorrent has it, both ways, for web seeds and for `check`."""
    data = Lone(t)
    one = data.seeder(data.path)
    run = data.download(t.path("got"), "-P", where(one), "--progress=json",
                        "--on-complete", "echo $BTGET_NAME $BTGET_PATH")
    told = [json.loads(line) for line in run.out().splitlines()]
    assert {e["name"] for e in told if "name" in e} == {"x.bin"}, told
    assert any("x.bin %s/x.bin" % os.path.realpath(t.path("got")) in
               e.get("text", "") for e in told), told
    data.check(t.path("got"))
    assert sorted(os.listdir(t.path("got"))) == [".btget", "x.bin"]
    t.run_btget("check", "-d", data.path, data.file)
    run = t.run_btget("show", "--json", data.file)
    assert json.loads(run.out())["name"] == "x.bin", run.out()
    seed = t.seed(data.file, t.path("got"))
    target = t.folder("target")
    other = data.libtorrent(target, "--peer", where(seed))
    wait_for(lambda: same(data.lone, os.path.join(target, "x.bin")), 30,
             "complete copy", alive=[seed, other.proc])
    server = web.Web(t, data.path)
    data.meta[b"url-list"] = server.url
    sample.write_file(data.file, sample.bencode(data.meta))
    t.run_btget("--no-dht", "--no-lsd", "--no-portmap", "-d",
                t.path("by web"), "-p", "0", data.file, plain=True)
    data.check(t.path("by web"))


@test(quick=True)
def test_a_folder_with_the_one_file_is_seeded_in_place(t):
    """What `create` has made of it, which says what others will have."""
    data = Lone(t)
    out = t.path("again.torrent")
    run = t.run_btget("create", "--v2", "-o", out, data.path)
    assert run.err().count("without the folder") == 1, run.err()
    run = t.run_btget("create", "-o", out, data.path)
    assert "without the folder" not in run.err(), run.err()
    t.run_btget("check", "-d", data.source, data.file)
    seed = t.seed(data.file, data.source)
    data.download(t.path("got"), "-P", where(seed))
    data.check(t.path("got"))
    assert sorted(os.listdir(data.source)) == [".btget", "data"]
    assert os.listdir(data.path) == ["x.bin"]


@test(quick=True)
def test_one_file_in_a_folder_of_before_goes_on_there(t):
    data = Lone(t)
    seed = t.seed(data.file, data.source)
    target = t.path("got")
    part = os.path.join(target, "data.part", "x.bin")
    with open(data.lone, "rb") as whole:
        sample.write_file(part, whole.read(131072))
    run = data.download(target, "-P", where(seed), "--progress=json")
    start = next(e for e in map(json.loads, run.out().splitlines())
                 if e["event"] == "start")
    assert start["done"] == 131072, start
    sample.assert_same(data.lone, os.path.join(target, "data", "x.bin"))
    assert sorted(os.listdir(target)) == [".btget", "data"]
    data.download(target, "--stall-timeout", "1")
    # What another torrent has under the folder's name is left alone.
    other, target = t.path("other.torrent"), t.path("beside")
    source = sample.make_tree(t.path("b", "data"), [("x.bin", 200000),
                                                    ("y", 100000)], seed=2)
    t.run_btget("create", "--v2", "-o", other, source)
    two = t.seed(other, t.path("b"), "--up-limit", "1M")
    t.run_btget("-d", target, "-p", "0", "-P", where(two), "-f", "1",
                other)
    data.download(target, "-P", where(seed))
    data.check(target)


def magnet(data, *which):
    """A link by these hashes."""
    topics = {"v1": "urn:btih:" + data.v1.hex(),
              "v2": "urn:btmh:1220" + data.v2.hex()}
    return "magnet:?" + "&".join("xt=" + topics[one] for one in which)


def magnet_from(kind, which, maker):
    @test(needs="libtorrent", quick=True)
    def run(t):
        """The piece layers are asked for, too, and kept for the next run."""
        data = Data(t, kind)
        if maker == "libtorrent":
            one = where(data.seeder(data.source))
        else:
            one = where(t.seed(data.file, data.source))
        for run in range(2):
            target = t.path("got")
            data.download(target, "-P", one, torrent=magnet(data, *which))
            data.check(target)
        name = (data.v1 if "v1" in which else data.v2).hex() + ".torrent"
        saved = t.path("got", ".btget", name)
        with open(saved, "rb") as file:
            meta = sample.bdecode(file.read())
        assert sample.bencode(meta[b"info"]) == sample.bencode(data.info)
        if kind == "v2":
            assert meta[b"piece layers"] == data.meta[b"piece layers"]
            t.run_btget("check", "-d", target, saved)
        for hash in (data.v1, data.v2) if kind == "hybrid" else ():
            t.run_btget("-d", target, "-p", "0", hash.hex(), seconds=20)
        # The data is gone, the metadata is not.
        os.rename(os.path.join(target, "data"), t.path("away"))
        os.unlink(os.path.join(target, ".btget", data.name + ".state"))
        data.download(target, "-P", one, torrent=magnet(data, *which))
        data.check(target)
    return run


@test(quick=True)
def test_magnets_torrent_from_a_web_server_has_its_piece_layers(t):
    """Kept with it: the second run has nobody to ask for them."""
    for kind in KINDS:
        data = Data(t, kind, 2 * MIB, piece_length="32K")
        server = web.Web(t, t.path("."))
        text = "%s&xs=%sit.torrent" % (magnet(data, "v2"), server.url)
        target = t.path("target-" + kind)
        t.run_btget(*[word for word in OFFLINE if word != "--no-webseed"],
                    "-d", target, "-p", "0", "--stall-timeout=%g" % (3 * SLOW),
                    text, code=5, plain=True)
        assert len(server.requests) == 1, server.requests
        server.stop()
        os.link(data.path, os.path.join(target, "data"))
        data.download(target, torrent=text, seconds=20)


test_v2_magnet_from_libtorrent = magnet_from("v2", ("v2",), "libtorrent")
test_v2_magnet_among_ours = magnet_from("v2", ("v2",), "btget")
test_hybrid_magnet_by_v2_from_libtorrent = magnet_from("hybrid", ("v2",),
                                                       "libtorrent")
test_hybrid_magnet_by_both = magnet_from("hybrid", ("v1", "v2"), "btget")
test_hybrid_magnet_by_v1 = magnet_from("hybrid", ("v1",), "btget")


@test(quick=True)
def test_json_calls_a_link_by_one_hash_to_its_end(t):
    """Warnings, too: one comes when metadata has told the name and nothing
    has been started, the other at the end."""
    data = Data(t, "hybrid")
    seed = t.seed(data.file, data.source)
    for which, want in (("v1", data.v1), ("v2", data.v2)):
        run = data.download(t.path("got-" + which), "-P", where(seed), "-f",
                            "!zz", "--on-complete", "echo moved",
                            "--progress=json", torrent=magnet(data, which))
        told = [json.loads(line) for line in run.out().splitlines()]
        assert [(e["name"], e["text"]) for e in told
                if e["event"] == "warning"] == [
            ("data", "--files: '!zz' names no file"),
            ("data", "--on-complete: moved")], told
        assert {e.get("info_hash") for e in told
                if e["event"] != "exit"} == {want.hex()}, told


@test(needs="libtorrent", quick=True)
def test_v2_magnet_to_libtorrent(t):
    """libtorrent asks us for the piece layers."""
    data = Data(t, "v2")
    seed = t.seed(data.file, data.source)
    target = t.folder("target")
    one = data.libtorrent(target, "--peer", where(seed),
                          torrent=magnet(data, "v2"))
    wait_for(lambda: same(data.path, os.path.join(target, "data")), 30,
             "complete copy", alive=[seed, one.proc])


@test(quick=True)
def test_bare_v2_hash(t):
    data = Data(t, "v2", MIB)
    seed = t.seed(data.file, data.source)
    data.download(t.path("got"), "-P", where(seed), torrent=data.v2.hex())
    data.check(t.path("got"))


HASH_REQUEST, HASHES, HASH_REJECT = 21, 22, 23
METADATA_ID = 7


def gives_metadata(data, hashes=None, by="v2"):
    """A peer that gives true metadata, and this (a function of a request)
    for hashes; it has no data."""
    raw = sample.bencode(data.info)

    def script(one, conn):
        conn.handshake(reserved=peer.EXTENSIONS,
                       info_hash=getattr(data, by)[:20])
        conn.write(peer.extended(0, sample.bencode(
            {"m": {"ut_metadata": METADATA_ID}, "metadata_size": len(raw)})))
        while True:
            kind, payload = conn.message()
            if kind == HASH_REQUEST and hashes:
                one.asked += 1
                conn.write(hashes(payload))
            if kind != peer.EXTENDED or payload[0] == 0:
                continue
            asked, _ = sample.bdecode_at(payload[1:])
            at = asked[b"piece"] * 16384
            conn.write(peer.extended(2, sample.bencode(
                {"msg_type": 1, "piece": asked[b"piece"],
                 "total_size": len(raw)}) + raw[at:at + 16384]))
    return script


def scripted(t, data, script, host):
    one = peer.Peer(t, sample.Torrent(sample.bencode(data.meta)),
                    script=script, host=host)
    one.asked = 0
    return one


@test(quick=True)
def test_who_has_no_metadata_is_not_asked_for_hashes(t):
    """One that follows the same link, and may hang up on such questions."""
    data = Data(t, "v2", 3 * MIB + 1, piece_length="16K")

    def knows_nothing(one, conn):
        conn.handshake(reserved=peer.EXTENSIONS, info_hash=data.v2[:20])
        conn.send(peer.HAVE_NONE)
        conn.write(peer.extended(0, sample.bencode(
            {"m": {"ut_metadata": METADATA_ID}})))
        while True:
            kind, _ = conn.message()
            one.asked += kind == HASH_REQUEST
            if kind == peer.EXTENDED:
                one.acted.set()
    ignorant = scripted(t, data, knows_nothing, "127.0.0.30")

    def comes_after_it(one, conn):
        while not ignorant.acted.wait(0.05):
            conn.check()
        gives_metadata(data, no_hashes)(one, conn)
    other = scripted(t, data, comes_after_it, "127.0.0.31")
    proc = t.btget("-d", t.path("got"), "-p", "0", "-P", "%s:%d" %
                   ignorant.where, "-P", "%s:%d" % other.where, "-P",
                   "127.0.0.1:%d" % (port := free_port()), magnet(data, "v2"))
    wait_for(lambda: other.asked, 30, "a request for hashes", alive=[proc])
    t.seed(data.file, data.source, "-p", port)
    proc.expect(0, 60)
    data.check(t.path("got"))
    assert ignorant.connections == 1 and ignorant.asked == 0, ignorant.asked


def wrong_hashes(payload):
    count = int.from_bytes(payload[40:44], "big")
    proofs = int.from_bytes(payload[44:48], "big")
    more = max(0, proofs - count.bit_length() + 2)
    return peer.message(HASHES, payload + os.urandom(32 * (count + more)))


def too_few_hashes(payload):
    return peer.message(HASHES, payload + bytes(32))


def no_hashes(payload):
    return peer.message(HASH_REJECT, payload)


def piece_layers_among(*answers, bad=True):
    @test(quick=True)
    def run(t):
        """Others are dropped, and one honest peer is enough."""
        data = Data(t, "v2", 3 * MIB + 1, piece_length="16K")
        others = [scripted(t, data, gives_metadata(data, answer),
                           "127.0.0.%d" % (20 + i))
                  for i, answer in enumerate(answers)]
        args = [x for one in others for x in ("-P", "%s:%d" % one.where)]
        proc = t.btget("-v", "-d", t.path("got"), "-p", "0", *args, "-P",
                       "127.0.0.1:%d" % (port := free_port()),
                       magnet(data, "v2"))
        wait_for(lambda: all(one.asked for one in others), 30,
                 "requests for hashes", alive=[proc])
        t.seed(data.file, data.source, "-p", port)
        proc.expect(0, 60)
        data.check(t.path("got"))
        if bad:
            assert "banned" in proc.out() + proc.err(), proc.err()
    return run


test_wrong_hashes_are_not_believed = piece_layers_among(wrong_hashes,
                                                        too_few_hashes)
test_refused_hashes_come_from_others = piece_layers_among(no_hashes,
                                                          bad=False)


def parent(left, right):
    return hashlib.sha256(left + right).digest()


class Tree:
    """The hashes above a file's pieces, and how others give of them."""

    def __init__(self, data):
        layer, = data.meta[b"piece layers"].values()
        self.pad = bytes(32)
        for _ in range(data.info[b"piece length"].bit_length() - 15):
            self.pad = parent(self.pad, self.pad)
        row = [layer[i:i + 32] for i in range(0, len(layer), 32)]
        row += [self.pad] * ((1 << (len(row) - 1).bit_length()) - len(row))
        self.rows = [row]
        while len(row) > 1:
            row = [parent(*row[i:i + 2]) for i in range(0, len(row), 2)]
            self.rows.append(row)

    def given(self, payload, proofs):
        index, count = struct.unpack(">II", payload[36:44])
        out, level = self.rows[0][index:index + count], count.bit_length() - 1
        for up in range(level, level + proofs):
            out.append(self.rows[up][index >> up ^ 1])
        return peer.message(HASHES, payload + b"".join(out))

    def biglybt(self, payload):
        """It counts layers of proof that are not sent, and fails if there are
        not so many."""
        count, proofs = struct.unpack(">II", payload[40:48])
        proofs -= count.bit_length() - 2
        return no_hashes(payload) if proofs < 0 else self.given(payload,
                                                                proofs)

    def anacrolix(self, payload):
        """It knows of no proofs."""
        return no_hashes(payload) if any(payload[44:48]) else self.given(
            payload, 0)


def piece_layers_as_given_by(pieces, rule):
    @test(quick=True)
    def run(t):
        """Whatever there is to be had from one peer; data is elsewhere."""
        data = Data(t, "v2", pieces * 16384 - 5, piece_length="16K")
        one = scripted(t, data, gives_metadata(data, getattr(Tree(data),
                                                             rule)),
                       "127.0.0.40")
        server = web.Web(t, data.source)
        done = t.run_btget("--no-dht", "--no-lsd", "--no-portmap", "-d",
                           t.path("got"), "-p", "0", "-P", "%s:%d" % one.where,
                           "--stall-timeout", int(5 * SLOW),
                           magnet(data, "v2") + "&ws=" + server.url + "data",
                           plain=True, seconds=20)
        data.check(t.path("got"))
        assert one.asked <= 16, one.asked
        assert done.err() == "", done.err()
    return run


test_piece_layer_as_given_by_biglybt = piece_layers_as_given_by(200, "biglybt")
test_piece_layer_as_given_by_anacrolix = piece_layers_as_given_by(
    200, "anacrolix")
test_large_piece_layer_as_given_by_biglybt = piece_layers_as_given_by(
    1300, "biglybt")
test_large_piece_layer_as_given_by_anacrolix = piece_layers_as_given_by(
    1300, "anacrolix")


@test()
def test_it_says_that_nobody_gives_the_piece_layers(t):
    """The metadata is there."""
    data = Data(t, "v2", 3 * MIB + 1, piece_length="16K")
    one = scripted(t, data, gives_metadata(data, no_hashes), "127.0.0.43")
    master, slave = pty.openpty()
    proc = t.btget("-d", t.path("got"), "-p", "0", "-P", "%s:%d" % one.where,
                   "--stall-timeout", int(40 * SLOW), magnet(data, "v2"),
                   stdout=slave, env=dict(t.env, TERM="xterm"))
    os.close(slave)
    told = b""
    with contextlib.suppress(OSError):
        while b"stalled" not in told and (part := os.read(master, 65536)):
            told += part
    assert b"stalled: no peer gives piece" in told, told[-2000:]
    proc.signal(15)
    proc.expect(143)
    os.close(master)


@test(quick=True)
def test_wrong_hashes_without_proof_are_found_by_the_whole(t):
    """Who gave them is banned; then another one is asked, who proves nothing
    either."""
    data = Data(t, "v2", 1300 * 16384 - 5, piece_length="16K")
    tree = Tree(data)

    def lies(payload):
        answer = bytearray(tree.anacrolix(payload))
        if answer[4] == HASHES and payload[36:40] == bytes(4):
            answer[60] ^= 1
        return bytes(answer)
    server = web.Web(t, data.source)
    liar = scripted(t, data, gives_metadata(data, lies), "127.0.0.41")

    def comes_after_it(one, conn):
        wait_for(lambda: liar.ends, 20,
                 "the liar's end")
        gives_metadata(data, tree.anacrolix)(one, conn)
    other = scripted(t, data, comes_after_it, "127.0.0.42")
    done = t.run_btget("-v", "--no-dht", "--no-lsd", "--no-portmap", "-d",
                       t.path("got"), "-p", "0",
                       *("-P", "%s:%d" % liar.where, "-P",
                         "%s:%d" % other.where),
                       magnet(data, "v2") + "&ws=" + server.url + "data",
                       plain=True, seconds=60)
    data.check(t.path("got"))
    assert done.err().count("banned") == 1, done.err()
    assert liar.where[0] in done.err(), done.err()


@test(quick=True)
def test_link_whose_hashes_do_not_belong_together(t):
    data = Data(t, "hybrid", MIB)
    one = scripted(t, data, gives_metadata(data, by="v1"), "127.0.0.9")
    link = magnet(data, "v1") + "&xt=urn:btmh:1220" + "ab" * 32
    done = data.download(t.path("got"), "-P", "%s:%d" % one.where,
                         torrent=link, code=3)
    assert "hashes" in done.err(), done.err()


@test(quick=True)
def test_a_hybrid_is_announced_by_both_hashes(t):
    """Who knows the v2 hash alone finds a seeder of the hybrid, and who
    knows the v1 hash alone does, too."""
    meeting = tracker.Tracker(t)
    data = Data(t, "hybrid", MIB)
    data.meta[b"announce"] = meeting.url.encode()
    sample.write_file(data.file, sample.bencode(data.meta))
    t.seed(data.file, data.source)
    hashes = (data.v1, data.v2[:20])
    wait_for(lambda: {a.info_hash for a in meeting.announces} == set(hashes),
             20, "announces of both hashes")
    for which in ("v1", "v2"):
        target = t.path("got-" + which)
        data.download(target, torrent=magnet(data, which) + "&tr=" +
                      urllib.parse.quote(meeting.url, safe=""))
        data.check(target)
    # Each of these was a leech of both: their ends are told to both.
    def stopped():
        return sorted(a.info_hash for a in meeting.announces
                      if a.event == "stopped")
    wait_for(lambda: len(stopped()) >= 4, 5, "their ends")
    assert stopped() == sorted(2 * hashes), stopped()


@test(quick=True)
def test_a_hybrid_may_lack_piece_layers(t):
    """As one that is saved from a link does: v1 verifies it."""
    data = Data(t, "hybrid")
    seed = t.seed(data.file, data.source)
    del data.meta[b"piece layers"]
    sample.write_file(data.file, sample.bencode(data.meta))
    data.download(t.path("got"), "-P", where(seed))
    data.check(t.path("got"))
    t.run_btget("check", "-d", t.path("got"), data.file)
    t.run_btget("show", data.file)


@test(quick=True)
def test_v2_web_seed(t):
    """Files are asked for as they are: gaps lie between them."""
    data = Data(t, "v2")
    server = web.Web(t, data.source)
    data.meta[b"url-list"] = server.url
    sample.write_file(data.file, sample.bencode(data.meta))
    t.run_btget("--no-dht", "--no-lsd", "--no-portmap", "-d", t.path("got"),
                "-p", "0", data.file, plain=True)
    data.check(t.path("got"))


@test(quick=True)
def test_both_hashes_of_a_hybrid_are_one_torrent(t):
    """Named by links, of which neither says so; and again, when what they
    lead to is known from before."""
    data = Data(t, "hybrid")
    seed = t.seed(data.file, data.source)
    for number, kinds in enumerate((("v1", "v2"), ("v2", "v1"))):
        target = t.path("got-%d" % number)
        links = [magnet(data, kind) for kind in kinds]
        for more in (["-P", where(seed)], []):
            run = t.run_btget("-d", target, "-p", "0", *more, *links)
            assert run.err() == "", run.err()
            assert "stopped" not in run.out(), run.out()
            data.check(target)


@test(quick=True)
def test_a_command_that_failed_runs_again_by_whatever_hash(t):
    data = Data(t, "hybrid", MIB)
    seed = t.seed(data.file, data.source)
    told = t.path("told")
    run = ["-d", t.path("got"), "-p", "0", "-P", where(seed), "--on-complete"]
    t.run_btget(*run, "exit 1", magnet(data, "v2"), code=8)
    for what in (data.file, magnet(data, "v2"), data.file):
        t.run_btget(*run, "echo x >>" + told, what)
        with open(told) as out:
            assert len(out.readlines()) == 1


@test(quick=True)
def test_links_have_what_they_look_for_from_the_torrent(t):
    """By either hash, or by both of them, and in any order."""
    for kind in KINDS:
        data = Data(t, kind)
        seed = t.seed(data.file, data.source)
        links = [magnet(data, one)
                 for one in (["v2"] if kind == "v2" else ["v1", "v2"])]
        for number, what in enumerate(([links[0], data.file],
                                       [links[-1], data.file],
                                       links + [data.file],
                                       [links[-1], data.file, links[0]])):
            target = t.path("got-%s-%d" % (kind, number))
            run = t.run_btget("-d", target, "-p", "0", "-P", where(seed),
                              *what)
            assert run.err() == "", run.err()
            data.check(target)


@test(quick=True)
def test_what_gives_way_leaves_its_web_seeds(t):
    """Each link has the metadata of one hash, and one a web seed."""
    data = Data(t, "hybrid", MIB)
    server = web.Web(t, data.source)
    for number, (first, second) in enumerate((("v1", "v2"), ("v2", "v1"))):
        one = scripted(t, data, gives_metadata(data, by=first),
                       "127.0.0.%d" % (30 + number))
        links = [magnet(data, first) + "&x.pe=%s:%d" % one.where,
                 magnet(data, second) + "&ws=" + server.url + "data"]
        target = t.path("got-%d" % number)
        run = t.run_btget("--no-dht", "--no-lsd", "--no-portmap", "-d",
                          target, "-p", "0", *links, plain=True)
        assert run.err() == "", run.err()
        data.check(target)


@test(quick=True)
def test_what_gives_way_leaves_what_others_have_told_it(t):
    """One link has the metadata; the other is named twice, and what the
    second of these says is all there is to download from."""
    data = Data(t, "hybrid", MIB)
    server = web.Web(t, data.source)
    seed = t.seed(data.file, data.source)
    meeting = tracker.Tracker(t, static=[("127.0.0.1", seed.port)])
    number = 0
    for first, second in (("v1", "v2"), ("v2", "v1")):
        for more in ("&ws=%sdata" % server.url, "&x.pe=" + where(seed),
                     "&tr=" + urllib.parse.quote(meeting.url, safe="")):
            number += 1
            one = scripted(t, data, gives_metadata(data, by=first),
                           "127.0.0.%d" % (40 + number))
            target = t.path("got-%d" % number)
            run = t.run_btget("--no-dht", "--no-lsd", "--no-portmap", "-d",
                              target, "-p", "0", magnet(data, second),
                              magnet(data, second) + more,
                              magnet(data, first) + "&x.pe=%s:%d" % one.where,
                              plain=True, seconds=20)
            assert run.err() == "", run.err()
            data.check(target)


def after_the_other(t, *further, more="", **options):
    """A link by a hash that nobody has, and one by the other hash that leads
    to it, though slowly: each block of the metadata is news until the first
    link has failed.  Returns the data, the run, and how it is led to it all."""
    data = Data(t, "hybrid", files=[("%0120d" % i, 1) for i in range(300)])
    seed = t.seed(data.file, data.source)
    raw = sample.bencode(data.info)
    proc = None

    def script(one, conn):
        conn.handshake(reserved=peer.EXTENSIONS, info_hash=data.v1)
        conn.write(peer.extended(0, sample.bencode(
            {"m": {"ut_metadata": METADATA_ID}, "metadata_size": len(raw)})))
        while True:
            kind, payload = conn.message()
            if kind != peer.EXTENDED or payload[0] == 0:
                continue
            asked = sample.bdecode(payload[1:])
            if not proc or not has_failed(proc):
                conn.linger(0.8 * SLOW)
            conn.write(peer.extended(2, sample.bencode(
                {"msg_type": 1, "piece": asked[b"piece"],
                 "total_size": len(raw)}) +
                raw[asked[b"piece"] * 16384:][:16384]))
    one = scripted(t, data, script, "127.0.0.70")
    meeting = tracker.Tracker(t)
    proc = t.btget("-v", "-d", t.path("got"), "-p", "0", "--stall-timeout",
                   int(3 * SLOW), magnet(data, "v2"),
                   magnet(data, "v1") + "&tr=%s&x.pe=%s:%d" % (
                       urllib.parse.quote(meeting.url, safe=""), *one.where) +
                   more, *further, **options)
    return data, proc, lambda: meeting.static.append(
        ("127.0.0.1", seed.port))


def has_failed(proc):
    return "no peer could be reached" in proc.err()


@test(quick=True)
def test_one_hash_that_nobody_has_is_no_failure(t):
    get, put = os.pipe()
    data, proc, lead = after_the_other(t, "-", stdin=get)
    os.close(get)
    # Not in one write: the end of standard input is waited for, too.
    raw_file = sample.bencode(data.meta)
    for at in range(200):
        if has_failed(proc):
            break
        os.write(put, raw_file[at:at + 1])
        time.sleep(0.1 * SLOW)
    wait_for(lambda: "started" in proc.out(), 30, "the other's start",
             alive=[proc])
    # Its .torrent joins the one that is at work.
    os.write(put, raw_file[at:])
    os.close(put)
    wait_for(lambda: "named by one more .torrent" in proc.err(), 20,
             "the .torrent", alive=[proc])
    lead()
    proc.expect(0, 30)
    assert proc.out().count("started") == 1, proc.out()
    data.check(t.path("got"))


@test(quick=True)
def test_one_hash_that_nobody_has_is_a_failure_if_it_asks_for_more(t):
    """The link of the other selects a file."""
    _, proc, lead = after_the_other(t, more="&so=0")
    wait_for(lambda: has_failed(proc), 30, "the first link's failure",
             alive=[proc])
    lead()
    proc.expect(5, 30)
    assert len(os.listdir(t.path("got", "data"))) == 1


@test(quick=True)
def test_what_has_given_way_is_not_joined(t):
    """The .torrent comes later, and tells whom to download from."""
    data = Data(t, "hybrid", MIB)
    server = web.Web(t, data.source)
    one = scripted(t, data, gives_metadata(data, by="v1"), "127.0.0.50")
    get, put = os.pipe()
    proc = t.btget("--no-dht", "--no-lsd", "--no-portmap", "-d",
                   t.path("got"), "-p", "0", magnet(data, "v2"),
                   magnet(data, "v1") + "&x.pe=%s:%d" % one.where, "-",
                   plain=True, stdin=get)
    os.close(get)
    saved = os.path.join(t.path("got"), ".btget", data.v1.hex() + ".torrent")
    wait_for(lambda: os.path.exists(saved), 20, "the metadata", alive=[proc])
    data.meta[b"url-list"] = server.url + "data"
    os.write(put, sample.bencode(data.meta))
    os.close(put)
    proc.expect(0, 20)
    data.check(t.path("got"))


@test(quick=True)
def test_piece_layers_come_from_the_torrent(t):
    """Peers have told of nothing but the metadata."""
    data = Data(t, "v2", 3 * MIB + 1, piece_length="16K")
    one = scripted(t, data, gives_metadata(data, no_hashes), "127.0.0.31")
    server = web.Web(t, data.source)
    get, put = os.pipe()
    proc = t.btget("--no-dht", "--no-lsd", "--no-portmap", "-d",
                   t.path("got"), "-p", "0", "-P", "%s:%d" % one.where,
                   magnet(data, "v2"), "-", plain=True, stdin=get)
    os.close(get)
    wait_for(lambda: one.asked, 30, "a request for hashes", alive=[proc])
    data.meta[b"url-list"] = server.url + "data"
    os.write(put, sample.bencode(data.meta))
    os.close(put)
    proc.expect(0, 30)
    data.check(t.path("got"))


# No DHT, no local discovery, no port mapping; web seeds alone are left.
WEB_ALONE = [word for word in OFFLINE if word != "--no-webseed"]


class Lacking(Data):
    """Its .torrent has the info dictionary, and what is told here."""

    def __init__(self, t, **more):
        super().__init__(t, "v2", 3 * MIB + 1, piece_length="16K")
        self.whole = sample.write_file(t.path("whole.torrent"),
                                       sample.bencode(self.meta))
        del self.meta[b"piece layers"]
        self.say(**more)

    def say(self, **more):
        for key, value in more.items():
            self.meta[key.replace("_", "-").encode()] = value
        sample.write_file(self.file, sample.bencode(self.meta))


def without_layers_from(maker):
    @test(needs="libtorrent", quick=True)
    def run(t):
        """They are asked of peers, once, and kept: for `check` as well."""
        data = Lacking(t)
        if maker == "libtorrent":
            one = where(clients_seed(data))
        else:
            one = where(t.seed(data.whole, data.source))
        target = t.path("got")
        assert "piece layers" in t.run_btget("show", data.file).out()
        assert "piece layers" not in t.run_btget("show", data.whole).out()
        bad = t.run_btget("check", "-d", target, data.file, code=3)
        assert "lacks its piece layers" in bad.err(), bad.err()
        assert len(bad.err().splitlines()) == 1, bad.err()
        run = data.download(target, "-P", one)
        assert run.err() == "", run.err()
        data.check(target)
        t.run_btget("check", "-d", target, data.file)
        # Again, and there is nobody to ask.
        data.download(target, seconds=20)
        t.run_btget(*OFFLINE, "-d", target, magnet(data, "v2"), plain=True)
        os.unlink(os.path.join(target, ".btget", data.name + ".state"))
        data.download(target, seconds=20)
    return run


def clients_seed(data):
    """A libtorrent with all of it, by the whole .torrent."""
    one = data.libtorrent(data.source, torrent=data.whole)
    wait_for(lambda: '"seeding": true' in one.proc.out(), 20,
             "seeding libtorrent", alive=[one.proc])
    return one


test_a_torrent_without_piece_layers_from_libtorrent = without_layers_from(
    "libtorrent")
test_a_torrent_without_piece_layers_among_ours = without_layers_from("btget")


@test(quick=True)
def test_a_torrent_without_piece_layers_uses_what_it_says(t):
    """Its tracker for the layers, its web seed for data, its privacy; and the
    peer that gave the layers stays."""
    data = Lacking(t)
    meeting = tracker.Tracker(t)
    data.info[b"private"] = 1
    raw = sample.bencode(data.info)
    data.v2 = hashlib.sha256(raw).digest()
    one = scripted(t, data, gives_layers(data), "127.0.0.60")
    meeting.static.append(one.where)
    server = web.Web(t, data.source)
    data.say(announce=meeting.url, url_list=server.url + "data")
    run = t.run_btget(*WEB_ALONE, "-v", "-d", t.path("got"), "-p", "0",
                      data.file, plain=True)
    data.check(t.path("got"))
    assert one.asked and one.connections == 1, (one.asked, one.connections)
    assert server.requests, run.err()


@test(quick=True)
def test_layers_of_a_private_torrent_are_taken_from_its_other_file(t):
    """They say nothing of whom to talk to."""
    data = Lacking(t)
    data.info[b"private"] = 1
    data.say()
    whole = sample.write_file(t.path("private.torrent"), sample.bencode(
        {**data.meta, b"piece layers": layers_of(data)}))
    target = t.folder("got")
    shutil.copytree(data.source, target, dirs_exist_ok=True)
    t.run_btget("--stall-timeout", "20s", "-d", target, "-p", "0", data.file,
                whole)
    data.check(target)


def layers_of(data):
    with open(data.whole, "rb") as file:
        return sample.bdecode(file.read())[b"piece layers"]


def layer_of(data):
    return next(iter(layers_of(data).values()))


def gives_layers(data):
    """The layer's hashes, from libtorrent's or our own answers' form."""
    layer = layer_of(data)
    count = 1
    while count < len(layer) // 32:
        count *= 2
    level = [layer[i:i + 32] for i in range(0, len(layer), 32)]
    level += [bytes(32)] * (count - len(level))

    def answer(payload):
        index, n = (int.from_bytes(payload[i:i + 4], "big")
                    for i in (36, 40))
        assert (index, n) == (0, count), (index, n)
        return peer.message(HASHES, payload + b"".join(level))

    def script(one, conn):
        conn.handshake(info_hash=data.v2[:20])
        conn.write(peer.message(5, bytes([128]) + bytes(len(layer) // 256)))
        while True:
            kind, payload = conn.message()
            if kind == HASH_REQUEST:
                one.asked += 1
                conn.write(answer(payload))
    return script


@test(quick=True)
def test_web_seeds_alone_give_no_piece_layers(t):
    """Another .torrent does."""
    data = Lacking(t)
    server = web.Web(t, data.source)
    data.say(url_list=server.url + "data")
    run = t.run_btget(*WEB_ALONE, "-d", t.path("got"), "-p", "0",
                      "--stall-timeout=%g" % SLOW, data.file, code=5,
                      plain=True)
    assert run.err().count("the piece layers that it lacks") == 1, run.err()
    assert len(run.err().splitlines()) == 1, run.err()
    for number, both in enumerate(([data.file, data.whole],
                                   [data.whole, data.file])):
        target = t.path("got-%d" % number)
        t.run_btget(*WEB_ALONE, "-d", target, "-p", "0", *both, plain=True)
        data.check(target)
    # They were kept.
    t.run_btget(*OFFLINE, "-d", t.path("got-0"), data.file, plain=True)


@test(quick=True)
def test_a_torrent_without_piece_layers_from_wherever(t):
    """A URL, where a link says, beside a link, a watched folder."""
    data = Lacking(t)
    seed = t.seed(data.whole, data.source)
    server = web.Web(t, t.path("."))
    url = server.url + "it.torrent"
    link = magnet(data, "v2")
    for number, what in enumerate((
            [url], [link + "&xs=" + url], [link, data.file],
            [data.file, link], [data.file, link + "&xs=" + url])):
        target = t.path("got-%d" % number)
        run = data.download(target, "-P", where(seed), *what[1:],
                            torrent=what[0])
        assert run.err() == "", run.err()
        data.check(target)
        t.run_btget(*OFFLINE, "-d", target, *what[:1], plain=True)
    # The second of two places has them.
    target = t.path("got-xs")
    t.run_btget(*WEB_ALONE, "-d", target, "-p", "0", "%s&xs=%s&xs=%s&ws=%s" % (
        link, url, server.url + "whole.torrent", server.url + "source/data"),
        plain=True)
    data.check(target)
    inbox, target = t.folder("inbox"), t.path("watched")
    proc = t.btget("-d", target, "-p", "0", "-P", where(seed), "--watch",
                   inbox)
    os.link(data.file, os.path.join(inbox, "it.torrent"))
    wait_for(lambda: same(data.path, os.path.join(target, "data")), 30,
             "the data", alive=[proc])
    proc.signal(15)
    proc.wait()


def knows_one_hash(data, which):
    """A peer that hangs up on the other one, and is a seed by this."""
    def script(one, conn):
        conn.read_handshake()
        if conn.info_hash != getattr(data, which)[:20]:
            one.others += 1
            return
        # Behind the handshake it is one like others.
        conn.handshake = lambda **how: conn.send_handshake(
            info_hash=conn.info_hash, **how)
        peer.good_seed(one, conn)
    return script


def found_by_its_hash(which, *args):
    @test(quick=True, deadline=90)
    def run(t):
        """Given by the user, it could be known by either."""
        data = Data(t, "hybrid", MIB)
        with open(data.path, "rb") as file:
            content = file.read()
        one = peer.Peer(t, sample.Torrent(sample.bencode(data.meta)), content,
                        knows_one_hash(data, which), host="127.0.0.80")
        one.others = 0
        data.download(t.path("got"), "-P", "%s:%d" % one.where, *args,
                      seconds=60)
        data.check(t.path("got"))
        assert (one.others > 0) == (which == "v2"), one.others
    return run


test_a_hybrids_peer_that_knows_v2_alone = found_by_its_hash("v2")
test_a_hybrids_peer_that_knows_v2_alone_and_no_encryption = found_by_its_hash(
    "v2", "--encryption=off")
test_a_hybrids_peer_that_knows_v1_alone = found_by_its_hash("v1")


@test(quick=True)
def test_who_came_by_the_v2_hash_is_called_back_by_it(t):
    data = Data(t, "hybrid", MIB)
    with open(data.path, "rb") as file:
        content = file.read()
    torrent = sample.Torrent(sample.bencode(data.meta))
    one = peer.Peer(t, torrent, content, knows_one_hash(data, "v2"),
                    host="127.0.0.81")
    one.others = 0
    proc = t.btget("-d", t.path("got"), "-p", port := free_port(), data.file)
    wait_for(lambda: "started at" in proc.out(), 20, "its start",
             alive=[proc])

    def comes_and_goes(dialler, conn):
        conn.handshake(info_hash=data.v2[:20], reserved=peer.EXTENSIONS)
        conn.write(peer.extended(0, sample.bencode({"p": one.where[1]})))
        conn.bitfield()
        while conn.message()[0] != peer.INTERESTED:
            pass
    peer.Dialer(t, torrent, ("127.0.0.1", port), comes_and_goes,
                host="127.0.0.81")
    proc.expect(0, 30)
    data.check(t.path("got"))
    assert one.others == 0, one.others
