"""Goal: a magnet link is as good as a .torrent: metadata comes from real
clients and goes to them, is kept for the next run, is never believed without
its hash, and a dead link ends with 5; and what else names the same torrent,
links or .torrents, is used together with it."""
import base64
import json
import os
import signal
import subprocess
import threading
import time
import urllib.parse

import clients
import peer
import sample
from harness import (BTGET, OFFLINE, SLOW, accepts, free_port, read_text,
                     test, wait_for)
from preload import Hold, asleep, naps, threads
from swarm import MIB, Scene
from tracker import Tracker
from web import Web

METADATA_ID = 7


def link(scene, trackers=True):
    text = "magnet:?xt=urn:btih:" + scene.torrent.hex
    return text + "&tr=" + scene.tracker.url if trackers else text


def fetch(scene, *args, code=0, seconds=60, what=None, **options):
    return scene.t.run_btget("-d", scene.target, "-p", "0", *args,
                             what or link(scene), code=code, seconds=seconds,
                             **options)


def saved(scene):
    return os.path.join(scene.target, ".btget", scene.torrent.hex +
                        ".torrent")


@test(quick=True)
def test_metadata_and_data_come_from_btget(t):
    scene = Scene(t, files=sample.ODD_TREE)
    t.seed(scene.file, scene.source)
    fetch(scene)
    scene.check()
    assert os.path.exists(saved(scene))


@test(quick=True)
def test_lines_have_the_torrents_name_once_it_is_known(t):
    scene = Scene(t, MIB, tracker={"interval": 1800})
    t.seed(scene.file, scene.source)
    lines = fetch(scene, "-v").err().splitlines()
    announces = [line for line in lines if "' answered " in line]
    assert len(announces) == 3, lines
    names = [line.split(": ")[1] for line in announces]
    assert names == [scene.torrent.hex, "data.bin", "data.bin"], names


@test(quick=True)
def test_a_rerun_needs_no_network(t):
    scene = Scene(t, size=MIB)
    seed = t.seed(scene.file, scene.source)
    fetch(scene)
    seed.signal(15)
    seed.wait()
    heard = len(scene.tracker.announces)
    fetch(scene, seconds=10)
    assert len(scene.tracker.announces) == heard
    assert scene.torrent.hex == sample.Torrent(
        open(saved(scene), "rb").read()).hex


@test()
def test_a_peer_that_the_link_names_is_enough(t):
    scene = Scene(t, size=MIB)
    seed = t.seed(scene.file, scene.source)
    fetch(scene, what="%s&x.pe=127.0.0.1:%d" % (link(scene, False),
                                                seed.port))
    scene.check()


@test()
def test_a_bare_hash_and_a_given_peer_are_enough(t):
    scene = Scene(t, size=MIB)
    seed = t.seed(scene.file, scene.source)
    fetch(scene, "-P", "127.0.0.1:%d" % seed.port, what=scene.torrent.hex)
    scene.check()


@test(quick=True)
def test_a_file_that_holds_a_link_is_taken_as_the_link(t):
    """Under any name, and from a pipe."""
    scene = Scene(t, size=MIB)
    t.seed(scene.file, scene.source)
    text = b"\xef\xbb\xbf# from a friend\r\n %s \r\n" % link(scene).encode()
    file = sample.write_file(t.path("it.txt"), text)
    fetch(scene, what=file)
    scene.check()
    with open(file, "rb") as data:
        done = t.run(["sh", "-c", 'cat | "$0" "$@" -', BTGET, *OFFLINE, "-d",
                      t.path("piped"), "-p", "0"], stdin=data)
    assert "complete" in done.out(), done.out()
    sample.write_file(file, text * 2)
    two = fetch(scene, what=file, code=3)
    assert two.err() == "btget: %s: it does not hold one magnet link\n" % \
        file, two.err()


@test(deadline=120, needs=("namespaces", "mount"))
def test_names_that_are_not_known_yet_are_asked_for_again(t):
    """The link's peer and the given one, whose names appear later."""
    scene = Scene(t, size=MIB)
    seed = t.seed(scene.file, scene.source)
    hosts = t.path("hosts")
    sample.write_file(hosts, b"127.0.0.1 localhost\n")
    subprocess.run(["mount", "--bind", hosts, "/etc/hosts"], check=True)
    sides = []
    for name, args, more in (
            ("given", ("-P", "later.test:%d" % seed.port), ""),
            ("named", ("-v",), "&x.pe=later.test:%d" % seed.port)):
        sides.append(t.btget("-d", t.path(name), "-p", "0", "--no-dht",
                             "--no-lsd", *args, link(scene, False) + more))
    for side in sides:
        wait_for(lambda: "cannot resolve 'later.test'" in side.err(), 20,
                 "failure", alive=[side])
    with open(hosts, "ab") as out:
        out.write(b"127.0.0.1 later.test\n")
    for side in sides:
        side.expect(0, 60)


def metadata_without_data(kind, names):
    @test(quick=True)
    def run(t):
        """Who has nothing of no pieces is no seed yet; and whoever gets the
        metadata is, and need not stay."""
        source = os.path.join(t.folder("source"), names[0].split("/")[0])
        for name in names:
            sample.write_file(t.path("source/" + name), b"")
        file = t.path("it.torrent")
        t.run_btget("create", "--" + kind, "-o", file, source)
        shown = json.loads(t.run_btget("show", "--json", file).out())
        seed = t.seed(file, t.path("source"), "-vv")
        for number, (key, topic) in enumerate(
                (("info_hash_v1", "btih:"), ("info_hash_v2", "btmh:1220")) * 2):
            target = t.path("target-%d" % number)
            if shown[key] is None:
                continue
            t.run_btget("-d", target, "-p", "0", "--stall-timeout", "20",
                        "-P", "127.0.0.1:%d" % seed.port,
                        "magnet:?xt=urn:" + topic + shown[key], seconds=30)
            for name in names:
                assert os.path.getsize(os.path.join(target, name)) == 0
    return run


for _kind in ("v1", "v2", "hybrid"):
    globals()["test_metadata_of_an_empty_file_" + _kind] = \
        metadata_without_data(_kind, ["empty"])
    globals()["test_metadata_of_empty_files_" + _kind] = \
        metadata_without_data(_kind, ["data/a", "data/b/c"])


@test()
def test_large_metadata_comes_in_many_blocks(t):
    # 16 KiB pieces: 20 bytes each make some 60 KiB of metadata.
    scene = Scene(t, size=48 * MIB, piece_length=16384)
    t.seed(scene.file, scene.source)
    other = t.folder("other")
    scene.plant(other, range(scene.torrent.piece_count))
    t.seed(scene.file, other)
    fetch(scene)
    scene.check()


def metadata_from(name):
    @test(deadline=120, needs=clients.NEEDS[name])
    def run(t):
        scene = Scene(t, files=sample.ODD_TREE, host=clients.host_for(name))
        one = clients.start(t, name, scene, scene.source)
        wait_for(lambda: scene.tracker.seeders(scene.torrent), 60,
                 "announce of the seeder", alive=[one.proc])
        fetch(scene, seconds=90)
        scene.check()
    return run


test_metadata_from_libtorrent = metadata_from("libtorrent")
test_metadata_from_transmission = metadata_from("transmission")
test_metadata_from_aria2 = metadata_from("aria2")
test_metadata_from_rtorrent = metadata_from("rtorrent")
test_metadata_from_qbittorrent = metadata_from("qbittorrent")


def metadata_to(name):
    @test(deadline=150, needs=clients.NEEDS[name])
    def run(t):
        scene = Scene(t, files=sample.ODD_TREE, host=clients.host_for(name))
        seed = t.seed(scene.file, scene.source)
        wait_for(lambda: scene.tracker.seeders(scene.torrent), 30,
                 "announce of btget", alive=[seed])
        target = t.folder("theirs")
        one = clients.STARTERS[name](t, link(scene), target,
                                     clients.host_for(name, number=1))

        def complete():
            try:
                sample.assert_same(scene.path, os.path.join(target, "data"),
                                   name in clients.NO_EMPTY)
            except (AssertionError, OSError):
                return False
            return True
        wait_for(complete, 120, "complete copy", alive=[seed, one.proc])
    return run


test_metadata_to_libtorrent = metadata_to("libtorrent")
test_metadata_to_transmission = metadata_to("transmission")
test_metadata_to_aria2 = metadata_to("aria2")
test_metadata_to_rtorrent = metadata_to("rtorrent")


@test(quick=True)
def test_base32_and_several_trackers(t):
    """The first tracker is not there, and the name is one of its own."""
    scene = Scene(t, size=MIB)
    t.seed(scene.file, scene.source)
    number = base64.b32encode(scene.torrent.info_hash).decode()
    for text in (number, number.lower()):
        folder = t.path(text)
        t.run_btget("-d", folder, "-p", "0",
                    "magnet:?dn=a%%20name&xt=urn:btih:%s"
                    "&tr=http%%3A%%2F%%2F127.0.0.1%%3A%d%%2Fannounce&tr=%s" %
                    (text, free_port(), scene.tracker.url))
        sample.assert_same(scene.path, os.path.join(folder, "data.bin"))


@test()
def test_progress_says_that_it_waits_for_metadata(t):
    """And where its peers come from, once there are some."""
    scene = Scene(t, size=2 * MIB)
    one = t.btget("-d", scene.target, "-p", "0", "--progress", "json",
                  "--down-limit", "300K", link(scene) + "&dn=its%20name")

    def events(**want):
        lines = [json.loads(line) for line in one.out().splitlines()]
        return [e for e in lines if e["event"] == "progress" and
                all(e[key] == value for key, value in want.items())]
    wait_for(lambda: events(state="metadata", name="its name", peers=0), 20,
             "the state", alive=[one])
    t.seed(scene.file, scene.source)
    wait_for(lambda: [e for e in events(state="downloading", name="data.bin")
                      if e["peer_sources"]["tracker"] +
                      e["peer_sources"]["incoming"] == 1], 30,
             "a download", alive=[one])
    one.expect(0, 40)
    scene.check()


@test()
def test_private_metadata_is_not_given(t):
    scene = Scene(t, size=MIB, info={"private": 1})
    seed = t.seed(scene.file, scene.source)
    fetch(scene, "-P", "127.0.0.1:%d" % seed.port, "--stall-timeout",
          "%g" % (2 * SLOW), what=scene.torrent.hex, code=6)


@test()
def test_a_dead_link_ends_with_5(t):
    scene = Scene(t, size=MIB)
    got = fetch(scene, "-q", "--stall-timeout", "1", code=5, seconds=20)
    assert got.err().count("\n") == 1, got.err()
    got = fetch(scene, "-q", "--deadline", "1", code=5, seconds=20)
    assert got.err().count("\n") == 1, got.err()


@test(quick=True)
def test_links_that_are_none(t):
    for text in ("magnet:?xt=urn:btih:1234", "magnet:?dn=x", "magnet:",
                 "magnet:?xt=urn:btih:" + "z" * 40):
        got = t.run_btget("-d", t.path("x"), text, code=3, seconds=10)
        assert got.err().count("\n") == 1, got.err()


def give(one, conn, info):
    """Answers what is asked of the metadata out of this, for ever."""
    while True:
        kind, payload = conn.message()
        if kind != peer.EXTENDED or payload[0] == 0:
            continue
        asked, _ = sample.bdecode_at(payload[1:])
        if asked[b"msg_type"] != 0:
            continue
        at = asked[b"piece"] * 16384
        conn.write(peer.extended(2, sample.bencode(
            {"msg_type": 1, "piece": asked[b"piece"],
             "total_size": len(info)}) + info[at:at + 16384]))
        one.acted.set()


def liar(info, size=None):
    """A peer that gives this instead of the metadata."""
    def script(one, conn):
        conn.handshake(reserved=peer.EXTENSIONS)
        conn.write(peer.extended(0, sample.bencode(
            {"m": {"ut_metadata": METADATA_ID},
             "metadata_size": size or len(info)})))
        give(one, conn, info)
    return script


def claim(conn, size):
    conn.write(peer.extended(0, sample.bencode(
        {"m": {"ut_metadata": METADATA_ID}, "metadata_size": size})))


def wait_until_asked(conn):
    kind, payload = None, b""
    while kind != peer.EXTENDED or payload[0] == 0:
        kind, payload = conn.message()
    return sample.bdecode_at(payload[1:])[0]


def give_one_block(conn, size):
    """Claims this size, and gives a block of it."""
    claim(conn, size)
    asked = wait_until_asked(conn)
    conn.write(peer.extended(2, sample.bencode(
        {"msg_type": 1, "piece": asked[b"piece"],
         "total_size": size}) + bytes(16384)))


def gives_a_block_of(*sizes):
    def script(one, conn):
        conn.handshake(reserved=peer.EXTENSIONS)
        for size in sizes:
            give_one_block(conn, size)
        one.acted.set()
        conn.wait_end()
    return script


def crawls_through(size):
    """A block each 3 s."""
    def script(one, conn):
        conn.handshake(reserved=peer.EXTENSIONS)
        while True:
            give_one_block(conn, size)
            one.acted.set()
            conn.linger(3)
    return script


def among_stallers(*scripts, acted=4):
    @test(deadline=120)
    def run(t):
        scene = Scene(t, size=MIB)
        liars = [scene.seed(script, host="127.0.0.%d" % (11 + n))
                 for n, script in enumerate(scripts)]
        run = t.btget("-d", scene.target, "-p", "0", "-v", link(scene))
        wait_for(lambda: sum(one.acted.is_set() for one in liars) >=
                 min(acted, len(liars)), 30, "liars who have acted", alive=[run])
        t.seed(scene.file, scene.source)
        run.expect(0, 80)
        scene.check()
    return run


test_one_who_claims_many_sizes_holds_up_nobody = among_stallers(
    gives_a_block_of(*range(40 << 20, 50 << 20, 2 << 20)))
test_many_sizes_that_nobody_completes_hold_up_nobody = among_stallers(
    *[gives_a_block_of((30 + n) << 20) for n in range(4)])
test_sizes_that_crawl_pass_the_places_on = among_stallers(
    *[crawls_through((30 + n) << 20) for n in range(18)], acted=16)


def silent_with(size):
    """Claims the right size, and says nothing when it is asked."""
    def script(one, conn):
        conn.handshake(reserved=peer.EXTENSIONS)
        claim(conn, size)
        wait_until_asked(conn)
        one.acted.set()
        conn.wait_end()
    return script


@test()
def test_silent_peers_cost_a_few_rounds(t):
    scene = Scene(t, size=MIB)
    info = scene.torrent.info_raw
    silent = [scene.seed(silent_with(len(info)), host="127.0.0.%d" % (11 + n))
              for n in range(10)]
    run = t.btget("-d", scene.target, "-p", "0", "-v", link(scene))
    wait_for(lambda: any(one.acted.is_set() for one in silent), 30,
             "a silent peer who was asked", alive=[run])
    t.seed(scene.file, scene.source)
    run.expect(0, 30)
    scene.check()


def served(t, scene, **options):
    """A web server with the scene's data and its .torrent; and a link that
    says so, and knows nobody."""
    web = Web(t, scene.source, **options)
    where = web.url + os.path.basename(scene.file)
    return web, "%s&ws=%s&xs=%s" % (
        link(scene, trackers=False), web.url, where)


def fetch_by_web(scene, text, **options):
    words = [word for word in OFFLINE if word != "--no-webseed"]
    return scene.t.run_btget(*words, "-d", scene.target, "-p", "0", "-v",
                             "--stall-timeout", "%g" % (3 * SLOW), text,
                             plain=True, **options)


def times_asked(web, scene):
    return [r[1] for r in web.requests].count(
        "/" + os.path.basename(scene.file))


@test(quick=True)
def test_its_torrent_is_fetched_from_where_the_link_says(t):
    """With nobody but a web server; and kept for the next run."""
    scene = Scene(t, files=sample.ODD_TREE)
    web, text = served(t, scene)
    fetch_by_web(scene, text)
    scene.check()
    assert times_asked(web, scene) == 1, web.requests
    del web.requests[:]
    fetch_by_web(scene, text)
    assert web.requests == [], web.requests


@test(quick=True)
def test_its_torrent_that_trickles_is_not_stalled(t):
    """From a web server, which has the data as well; it takes twice as long
    in all as nothing may come for."""
    scene = Scene(t, MIB)
    stall = 3 * SLOW

    def trickles(request, path, first, last, data):
        if not path.endswith(".torrent"):
            return False
        request.send_response(200)
        request.send_header("Content-Length", str(len(data)))
        request.end_headers()
        for n in range(20):
            request.send(data[len(data) * n // 20:len(data) * (n + 1) // 20])
            time.sleep(stall / 10)
        return True
    web, text = served(t, scene, script=trickles)
    words = [word for word in OFFLINE if word != "--no-webseed"]
    t.run_btget(*words, "-d", scene.target, "-p", "0", "--stall-timeout",
                "%g" % stall, text, plain=True)
    scene.check()
    assert times_asked(web, scene) == 1, web.requests


@test(quick=True)
def test_its_torrent_may_lie_by_a_name_with_spaces(t):
    """And its data in such a folder."""
    scene = Scene(t, MIB)
    names = ["my \u00e9 data/" + name for name in ("it.torrent", "data.bin")]
    for name, path in zip(names, (scene.file, scene.path)):
        to = os.path.join(scene.source, name)
        os.makedirs(os.path.dirname(to), exist_ok=True)
        os.link(path, to)
    web = Web(t, scene.source)
    fetch_by_web(scene, "%s&xs=%s&ws=%s" % (
        link(scene, trackers=False), web.url + names[0].replace(" ", "%20"),
        web.url + urllib.parse.quote(names[1])))
    scene.check()


@test(quick=True)
def test_where_a_later_link_says_is_asked_at_once(t):
    """The first one's place has nothing, and is due in minutes."""
    scene = Scene(t, MIB)
    web, text = served(t, scene)
    get, put = os.pipe()
    proc = t.btget(*[word for word in OFFLINE if word != "--no-webseed"],
                   "-v", "-d", scene.target, "-p", "0", "%s&xs=%snothing" % (
                       link(scene, trackers=False), web.url), "-",
                   stdin=get, plain=True)
    os.close(get)
    wait_for(lambda: "the server answered 404" in proc.err(), 20,
             "the first answer", alive=[proc])
    os.write(put, text.encode())
    os.close(put)
    proc.expect(0, 20)
    scene.check()
    assert len([r for r in web.requests if r[1] == "/nothing"]) == 1


@test(quick=True)
def test_what_is_saved_of_trackers_is_for_the_user_alone(t):
    """Their URLs may hold keys: what peers gave, a link or a URL led to."""
    def modes(scene):
        folder = os.path.join(scene.target, ".btget")
        return [os.stat(os.path.join(folder, name)).st_mode & 0o777
                for name in os.listdir(folder) if name.endswith(".torrent")]

    by_peers, by_link, by_url = (
        Scene(t, size=MIB, name=name) for name in ("one", "two", "three"))
    t.seed(by_peers.file, by_peers.source)
    fetch(by_peers)
    fetch_by_web(by_link, served(t, by_link)[1])
    web = Web(t, by_url.source)
    t.seed(by_url.file, by_url.source)
    fetch(by_url, what=web.url + os.path.basename(by_url.file))
    for scene in (by_peers, by_link, by_url):
        scene.check()
        assert modes(scene) == [0o600], modes(scene)


@test(quick=True)
def test_what_else_lies_where_the_link_says_is_not_taken(t):
    """Another torrent, no torrent, nothing: the next place is asked."""
    scene, other = Scene(t, MIB), Scene(t, MIB, name="other")
    web, text = served(t, scene)
    wrong, _ = served(t, other)
    for name, data in (("bad", b"no torrent"), ("long", b"d" * 100000)):
        sample.write_file(os.path.join(other.source, name), data)
    before, found = text.split("&xs=")
    places = [wrong.url + name for name in
              ("nothing", "bad", "long", os.path.basename(other.file))]
    done = fetch_by_web(scene, before + "".join(
        "&xs=" + place for place in places) + "&as=" + found)
    scene.check()
    assert "it has another torrent" in done.err(), done.err()
    assert "the server answered 404" in done.err(), done.err()


@test(quick=True)
def test_no_service_inside_is_asked_more_than_a_path(t):
    """Not by a query."""
    scene = Scene(t, MIB)
    web, text = served(t, scene)
    done = fetch_by_web(scene, text + "?delete=all", code=5)
    assert "a query to a host of the local network" in done.err(), done.err()
    assert web.requests == [], web.requests


@test()
def test_two_links_that_met_with_nothing_help_each_other(t):
    """Who gets the metadata tells those who look for it as well."""
    scene = Scene(t, size=2 * MIB)
    where, port = "127.0.0.2", free_port("127.0.0.2")
    one = t.btget(*OFFLINE, "-v", "-i", where, "-d", t.path("one"), "-p", port,
                  link(scene, trackers=False), plain=True)
    wait_for(lambda: accepts(where, port), 20, "its port", alive=[one])
    two = t.btget(*OFFLINE, "-d", scene.target, "-p", "0", "-P",
                  "%s:%d" % (where, port), link(scene, trackers=False),
                  plain=True)
    wait_for(lambda: ": came in" in one.err(), 20, "the two to meet",
             alive=[one, two])
    t.seed(sample.make_torrent(scene.path).save(t.path("quiet.torrent")),
           scene.source, "-P",
           "%s:%d" % (where, port), "--up-limit", "20K")
    wait_for(lambda: os.path.exists(saved(scene)), 30, "the metadata",
             alive=[one, two])
    assert one.running()


@test(quick=True)
def test_a_block_of_wrong_size_ends_the_connection(t):
    scene = Scene(t, size=MIB)
    info = scene.torrent.info_raw

    def script(one, conn):
        conn.handshake(reserved=peer.EXTENSIONS)
        claim(conn, len(info))
        give(one, conn, info[:-1])
    bad = scene.seed(script)
    run = t.btget("-d", scene.target, "-p", "0", "-v", link(scene))
    wait_for(lambda: bad.ends, 20, "the end of the connection", alive=[run])


@test(quick=True)
def test_the_size_that_was_claimed_first_counts(t):
    scene = Scene(t, size=MIB)
    info = scene.torrent.info_raw

    def script(one, conn):
        conn.handshake(reserved=peer.EXTENSIONS)
        conn.send(peer.HAVE_ALL)
        claim(conn, len(info))
        for n in range(1, 100):
            claim(conn, len(info) + n * 16384)
        give(one, conn, info)
    scene.seed(script)
    run = t.btget("-d", scene.target, "-p", "0", link(scene))
    wait_for(lambda: os.path.exists(saved(scene)), 20, "the metadata",
             alive=[run])


def among_liars(*scripts):
    @test(deadline=90)
    def run(t):
        scene = Scene(t, size=MIB)
        liars = [scene.seed(script, host="127.0.0.%d" % (11 + number))
                 for number, script in enumerate(scripts)]
        run = t.btget("-d", scene.target, "-p", "0", "-v", link(scene))
        wait_for(lambda: any(one.acted.is_set() for one in liars), 30,
                 "a liar who was asked", alive=[run])
        seed = t.seed(scene.file, scene.source)
        run.expect(0, 60)
        scene.check()
        assert seed.running()
    return run


test_wrong_metadata_is_not_believed = among_liars(
    liar(b"d6:lengthi9e4:name1:xe"), liar(os.urandom(40000)))
test_a_wrong_size_holds_up_nobody = among_liars(
    liar(b"x" * 100, 60 << 20), liar(b"y" * 100, 0xffffffff),
    liar(b"z" * 100, 1))


# ---- named more than once ----

def events(proc, *names):
    return [e for e in map(json.loads, proc.out().splitlines())
            if e["event"] in names]


def with_other_trackers(scene, *urls):
    """A .torrent of the same hash."""
    meta = dict(scene.torrent.meta)
    del meta[b"announce"]
    meta[b"announce-list"] = [[url.encode()] for url in urls]
    return sample.Torrent(sample.bencode(meta)).save(
        scene.t.path("other.torrent"))


def only_metadata(scene):
    """A peer that gives the metadata and no data."""
    def script(one, conn):
        conn.handshake(reserved=peer.EXTENSIONS)
        conn.send(peer.HAVE_NONE)
        claim(conn, len(scene.torrent.info_raw))
        give(one, conn, scene.torrent.info_raw)
    return scene.seed(script)


@test(quick=True)
def test_a_link_has_what_it_looks_for_from_the_torrent(t):
    """In either order; it is one torrent, for commands and displays too."""
    scene = Scene(t, size=MIB)
    scene.seed()
    ran = t.path("ran")
    for number, what in enumerate(((scene.torrent.hex, scene.file),
                                   (scene.file, scene.torrent.hex),
                                   (link(scene, False), scene.torrent.hex,
                                    scene.file, scene.file))):
        scene.target = t.path("got-%d" % number)
        got = fetch(scene, "--progress=json", "--on-complete",
                    "echo complete >>" + ran, "--on-error",
                    "echo error >>" + ran, *what[:-1], what=what[-1])
        scene.check()
        assert got.err() == "", got.err()
        assert [(e["event"], e["info_hash"], e["name"])
                for e in events(got, "start", "complete", "warning")] == \
            [(name, scene.torrent.hex, "data.bin")
             for name in ("start", "complete")], got.out()
    with open(ran) as told:
        assert told.read() == "complete\n" * 3
    heard = len(scene.tracker.announces)
    fetch(scene, scene.torrent.hex, what=scene.file, seconds=10)
    assert len(scene.tracker.announces) == heard


@test(quick=True)
def test_a_link_that_is_not_of_the_torrent_ends_with_3(t):
    """One of its two hashes is; the .torrent itself is no worse for that."""
    scene = Scene(t, size=MIB)
    scene.seed()
    got = fetch(scene, "magnet:?xt=urn:btih:%s&xt=urn:btmh:1220%s" %
                (scene.torrent.hex, "a" * 64), what=scene.file, code=3,
                seconds=20)
    assert got.err().count("\n") == 1, got.err()
    scene.check()


@test(quick=True)
def test_trackers_and_the_name_of_a_second_link(t):
    scene = Scene(t, size=MIB)
    seed = t.seed(scene.file, scene.source)
    wait_for(lambda: scene.tracker.seeders(scene.torrent), 30, "the seed",
             alive=[seed])
    got = fetch(scene, "--progress=json", scene.torrent.hex,
                what=link(scene) + "&dn=its%20name")
    scene.check()
    names = [e["name"] for e in events(got, "progress", "start")]
    assert names[-1] == "data.bin", names
    assert set(names) <= {"its name", "data.bin"}, names
    assert len(events(got, "start")) == 1, got.out()
    with open(saved(scene), "rb") as data:
        meta = sample.bdecode(data.read())
    assert meta[b"announce-list"] == [[scene.tracker.url.encode()]], meta


@test(quick=True)
def test_peers_of_a_second_link(t):
    scene = Scene(t, size=MIB)
    seed = t.seed(scene.file, scene.source)
    fetch(scene, scene.torrent.hex,
          what="%s&x.pe=127.0.0.1:%d" % (link(scene, False), seed.port))
    scene.check()


@test(quick=True)
def test_a_private_torrent_has_the_trackers_of_what_was_saved(t):
    """Nobody else could name peers to it."""
    scene = Scene(t, files=[("a", 50000), ("b", 50000)], info={"private": 1})
    only_metadata(scene)
    scene.seed()
    fetch(scene, what=link(scene) + "&so=0")
    fetch(scene, "--stall-timeout", "%g" % (10 * SLOW),
          what=link(scene, False) + "&so=1")
    scene.check()


@test(quick=True)
def test_a_private_torrent_has_the_trackers_of_its_source(t):
    scene = Scene(t, size=MIB, info={"private": 1})
    scene.seed()
    web = Web(t, os.path.dirname(scene.file))
    t.run_btget(*[word for word in OFFLINE if word != "--no-webseed"],
                "-d", scene.target, "-p", "0", "--stall-timeout",
                "%g" % (10 * SLOW), "%s&xs=%s%s" % (
                    link(scene, False), web.url, os.path.basename(scene.file)),
                plain=True)
    scene.check()


@test(quick=True)
def test_a_seed_calls_the_peers_of_its_link(t):
    scene = Scene(t, size=MIB)
    t.seed(scene.file, scene.source)
    fetch(scene)
    friend = peer.Peer(t, scene.torrent, b"", peer.never_unchokes)
    proc = t.btget("-d", scene.target, "-p", "0", "--seed-time", "1h",
                   "%s&x.pe=%s:%d" % ((link(scene, False),) + friend.where))
    wait_for(lambda: friend.connections, 20, "a call", alive=[proc])
    proc.signal(signal.SIGTERM)
    proc.expect(143)


@test(quick=True)
def test_web_seeds_of_a_second_link(t):
    scene = Scene(t, size=MIB)
    only_metadata(scene)
    server = Web(t, scene.source)
    options = [word for word in OFFLINE if word != "--no-webseed"]
    t.run_btget(*options, "-d", scene.target, "-p", "0", link(scene),
                "%s&ws=%sdata.bin" % (link(scene, False), server.url),
                plain=True)
    scene.check()


@test(quick=True)
def test_links_that_select_files_select_all_of_these(t):
    files = [("a", 50000), ("b", 50000), ("c", 50000)]
    scene = Scene(t, files=files)
    t.seed(scene.file, scene.source)
    for number, (more, names) in enumerate((("&so=2", ["a", "c"]),
                                            ("", ["a", "b", "c"]))):
        scene.target = t.path("got-%d" % number)
        fetch(scene, link(scene) + "&so=0", what=link(scene) + more)
        assert sorted(os.listdir(scene.result)) == names


def selects_one_of_two(t):
    """A link for the first file, and a pipe for the .torrent."""
    scene = Scene(t, files=[("a", 300000), ("b", 300000)])
    only_metadata(scene)
    get, put = os.pipe()
    told = t.path("told")
    proc = t.btget("-d", scene.target, "-p", "0", "--on-complete",
                   "echo complete >>" + told, link(scene) + "&so=0", "-",
                   stdin=get)
    os.close(get)

    def go_on(code=0, meanwhile=lambda: None):
        os.write(put, scene.torrent.raw)
        os.close(put)
        meanwhile()
        proc.expect(code, 30)
        assert proc.err() == "", proc.err()
        if code == 0:
            scene.check()
        return read_text(told)
    return scene, proc, go_on


@test(quick=True)
def test_the_torrent_of_a_link_that_selects_files_is_all_of_it(t):
    """While the link's file is downloaded from nobody yet."""
    scene, proc, go_on = selects_one_of_two(t)
    wait_for(lambda: "started" in proc.out(), 20, "the start", alive=[proc])
    scene.seed()
    assert go_on() == "complete\n"


@test(quick=True)
def test_what_a_link_has_selected_is_complete_and_the_torrent_comes(t):
    scene, proc, go_on = selects_one_of_two(t)
    seed = scene.seed()
    wait_for(lambda: os.path.exists(scene.result), 20, "the file",
             alive=[proc])
    assert os.listdir(scene.result) == ["a"]
    before = seed.sent
    assert go_on() == "complete\n" * 2
    assert seed.sent - before <= 300000, "it was fetched again"


def begun_anew_at(t, call, n):
    """The .torrent comes as the link's file is at the n-th such call; returns
    how often that told of which files, and of the end."""
    scene = Scene(t, files=[("a", 16384), ("b", 300000)], piece_length=16384)
    only_metadata(scene)
    scene.seed()
    get, put = os.pipe()
    hold = Hold(t, scene.target, call, n)
    told = t.path("told-%d" % n)
    proc = t.btget("-d", scene.target, "-p", "0", "--progress=json",
                   "--on-complete", "echo >>" + told, link(scene) + "&so=0",
                   "-", stdin=get, env=hold.env)
    os.close(get)
    hold.wait(proc)
    os.write(put, scene.torrent.raw)
    os.close(put)
    # Who reads it wakes the main thread before it ends.
    wait_for(lambda: "read" not in threads(proc) and asleep(proc), 20,
             "the .torrent to be seen", alive=[proc])
    hold.release()
    proc.expect(0, 30)
    scene.check()
    return [e["path"] for e in events(proc, "file")], \
        len(events(proc, "complete")), len(read_text(told))


@test(quick=True)
def test_a_file_that_comes_as_it_is_begun_anew_is_told_of(t):
    assert begun_anew_at(t, "pwrite", 1) == (["a", "b"], 1, 1)


@test(quick=True)
def test_what_is_about_to_be_complete_as_more_is_wanted_becomes_so(t):
    for n in (6, 8):
        assert begun_anew_at(t, "sync", n) == (["a", "b"], 2, 2), n


@test(quick=True)
def test_who_is_told_to_end_begins_nothing_anew(t):
    scene, proc, go_on = selects_one_of_two(t)
    wait_for(lambda: "started" in proc.out(), 20, "the start", alive=[proc])
    told = threading.Event()
    t.at_end.append(told.set)

    def script(_, note):
        if note.event == "stopped":
            told.wait(20)
        return sample.bencode({"interval": 1, "peers": b""})
    scene.tracker.script = script

    def end():
        wait_for(lambda: scene.tracker.of(scene.torrent, "stopped"), 20,
                 "the end of the first", alive=[proc])
        before = naps(proc)
        proc.signal(signal.SIGTERM)
        wait_for(lambda: naps(proc) > before and asleep(proc), 20,
                 "the signal to be seen", alive=[proc])
        told.set()
    go_on(143, end)
    assert not os.path.exists(os.path.join(scene.part, "b"))


@test(quick=True)
def test_torrents_of_one_hash_have_the_trackers_of_both(t):
    scene = Scene(t, size=MIB)
    other = Tracker(t)
    fetch(scene, "--deadline", "1", what=scene.file, code=5)
    other.static.append(scene.seed().where)
    scene.tracker.static.clear()
    fetch(scene, scene.file, what=with_other_trackers(scene, other.url))
    scene.check()
    assert scene.tracker.announces and \
        [a.event for a in other.announces][0] == "started"
    assert other.announces[-1].event == "stopped", other.announces


@test(quick=True)
def test_a_private_torrent_has_its_own_trackers(t):
    """Not those that others know, but a link has those of its .torrent."""
    scene = Scene(t, size=MIB, info={"private": 1})
    scene.seed()
    other = Tracker(t)
    second = with_other_trackers(scene, other.url)
    for number, what in enumerate(((scene.file, second),
                                   (scene.torrent.hex, scene.file, second),
                                   (scene.file, link(scene, False) +
                                    "&tr=" + other.url))):
        scene.target = t.path("got-%d" % number)
        fetch(scene, *what[:-1], what=what[-1])
        scene.check()
    assert not other.announces, other.announces


@test()
def test_metadata_and_the_torrent_come_at_once(t):
    """From a peer, and by standard input, again and again."""
    scene = Scene(t, size=MIB)
    info = scene.torrent.info_raw
    scene.seed()
    for number in range(8):
        get, put = os.pipe()

        def script(one, conn, put=put, pause=number * 0.0005):
            conn.handshake(reserved=peer.EXTENSIONS)
            conn.send(peer.HAVE_NONE)
            claim(conn, len(info))
            wait_until_asked(conn)
            os.write(put, scene.torrent.raw)
            os.close(put)
            conn.linger(pause)
            conn.write(peer.extended(2, sample.bencode(
                {"msg_type": 1, "piece": 0, "total_size": len(info)}) + info))
            conn.wait_end()
        giver = peer.Peer(t, scene.torrent, scene.content, script)
        scene.target = t.path("got-%d" % number)
        got = fetch(scene, "--progress=json", "-P", "%s:%d" % giver.where,
                    scene.torrent.hex, what="-", stdin=get)
        os.close(get)
        scene.check()
        assert got.err() == "", got.err()
        assert len(events(got, "start", "warning")) == 1, got.out()
