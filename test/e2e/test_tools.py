"""Goal: the tools beside the download are true: what `create` makes, others
take; `show` and `check` say what is so; clients of all kinds find each other
by `tracker`."""
import hashlib
import json
import os
import re
import signal
import socket
import struct
import time
import urllib.parse
import urllib.request

import clients
import sample
from harness import BTGET, ROOT, accepts, free_port, read_text, test, wait_for
from swarm import MIB, Scene


def load(path):
    with open(path, "rb") as data:
        return sample.Torrent(data.read())


def start_tracker(t, *args, host="127.0.0.1"):
    port = free_port(host)
    proc = t.btget("tracker", "--bind", host, "--port", port, *args)
    wait_for(lambda: accepts(host, port), 10, "listening tracker",
             alive=[proc])
    return ("http://%s:%d/announce" % (host, port),
            "udp://%s:%d/announce" % (host, port), proc)


@test(quick=True)
def test_a_tracker_that_cannot_listen_where_it_should_is_2(t):
    port = start_tracker(t)[0].split(":")[2].split("/")[0]
    for host, why in (("127.0.0.1", "Address already in use"),
                      ("192.0.2.1", "Cannot assign requested address"),
                      ("fe80::1", "Invalid argument")):
        shown = "[%s]" % host if ":" in host else host
        done = t.run_btget("tracker", "--bind", host, "--port", port, code=2)
        assert done.err() == "btget: cannot listen on %s:%s: %s\n" % (
            shown, port, why), done.err()


@test(quick=True)
def test_a_tracker_tells_of_announces_under_verbose(t):
    url, _, proc = start_tracker(t, "-v", "-l", t.path("it.log"))
    path = sample.make_file(t.path("data"), 5)
    torrent = sample.make_torrent(path, url)
    t.seed(torrent.save(t.path("it.torrent")), t.dir)
    want = "announces %s: started, has all" % torrent.hex
    for file in proc.err_path, t.path("it.log"):
        wait_for(lambda: want in read_text(file), 20, "line", alive=[proc])


def manual():
    """The text of each section of the manual, by name."""
    with open(os.path.join(ROOT, "docs", "btget.1")) as data:
        parts = re.split(r"^\.SH (.*)$", data.read().replace("\\-", "-"),
                         flags=re.MULTILINE)
    return {n.strip('"'): s for n, s in zip(parts[1::2], parts[2::2])}


def help_of(t, verb):
    """The options in the help of this verb."""
    return set(re.findall(r"^  (?:-\w, |    )(--[a-z0-9-]+)",
                          t.run_btget(verb, "--help").out(), re.MULTILINE))


def options_in(text):
    return set(re.findall(r"--[a-z0-9][a-z0-9-]*", text))


@test(quick=True)
def test_help_and_manual_have_the_same_options(t):
    """Verb by verb, under a heading of its own; what the help of every verb
    has, and what a verb takes from the download, is told there."""
    sections, everywhere = manual(), {"--help", "--version"}
    for name, verbs, borrowed in (
            ("DOWNLOAD OPTIONS", ["get"], set()),
            ("CREATE OPTIONS", ["create"], everywhere),
            ("SHOW AND CHECK OPTIONS", ["show", "check"], everywhere),
            ("TRACKER OPTIONS", ["tracker"],
             everywhere | {"--verbose", "--log"})):
        helped = set().union(*(help_of(t, verb) for verb in verbs))
        headings = options_in("".join(re.findall(
            r"^\.T[PQ]\n(\.B.*\n)", sections[name], re.MULTILINE)))
        assert helped and headings == helped - borrowed, \
            (name, headings ^ (helped - borrowed))
        assert borrowed - everywhere <= options_in(sections[name]), name


@test(quick=True, needs="man")
def test_the_manual_can_be_read(t):
    """Without a warning, to its last section."""
    run = t.run(["man", "--warnings", "-l",
                 os.path.join(ROOT, "docs", "btget.1")])
    assert run.err() == "" and "EXAMPLES" in run.out(), run.err()


@test(quick=True, needs="bash")
def test_bash_completes_what_the_help_names(t):
    folder = t.folder("words")
    for name in ("a b.torrent", "[x].torrent", "c.iso", "m.magnet"):
        open(os.path.join(folder, name), "w").close()
    os.mkdir(os.path.join(folder, "dir"))

    program = BTGET

    def complete(*words):
        run = t.run(["bash", "-c", """
            . "$0"
            COMP_WORDS=(btget "${@:2}") COMP_CWORD=$(($# - 1))
            _btget "$1" "${COMP_WORDS[COMP_CWORD]}" \\
                "${COMP_WORDS[COMP_CWORD - 1]}"
            printf '%s\\n' "${COMPREPLY[@]}"
            """, os.path.join(ROOT, "docs", "btget.bash"), program, *words],
            cwd=folder)
        assert run.err() == "", run.err()
        return sorted(filter(None, run.out().split("\n")))

    for verb in ("get", "create", "show", "check", "tracker"):
        found, helped = set(complete(verb, "--")), help_of(t, verb)
        assert helped and found == helped, (verb, found ^ helped)
    torrents = ["[x].torrent", "a b.torrent", "dir", "m.magnet"]
    assert complete("") == sorted(torrents + [
        "get", "create", "show", "check", "tracker"])
    assert complete("-q", "") == complete("show", "") == torrents
    assert complete("create", "") == sorted(torrents + ["c.iso"])
    assert complete("-q", "[") == ["[x].torrent"]
    assert complete("--dir", "") == ["dir"]
    assert complete("--progress", "=", "j") == ["json"]
    assert complete("--encryption", "=") == ["off", "prefer", "require"]
    assert "lo" in complete("-i", "")
    for option in ("-f", "--files", "-p", "--peer", "--dht-node", "--proxy",
                   "--max-peers", "--up-limit", "--deadline", "--on-error"):
        assert complete(option, "") == complete(option, "=", "a") == [], option
    for option in ("-a", "--comment", "--piece-length"):
        assert complete("create", option, "") == [], option
    assert complete("tracker", "--bind", "") == []
    t.env["HOME"] = os.path.dirname(BTGET)
    helped = help_of(t, "show")
    program = "~/" + os.path.basename(BTGET)
    assert set(complete("show", "--")) == helped
    program = t.path("gone")
    assert complete("show", "--") == []


@test(quick=True)
def test_create_keeps_what_it_hashes(t):
    """The torrent takes the place of none of the data, and an old one of
    before is no part of it."""
    folder = t.folder("tree")
    data = os.path.join(folder, "a")
    sample.make_file(data, 30000)
    with open(data, "rb") as file:
        before = file.read()
    for output, path in ((data, data), (data, folder)):
        run = t.run_btget("create", "-o", output, path, code=2)
        lines = run.err().splitlines()
        assert len(lines) == 1 and "part of the data" in lines[0], lines
    with open(data, "rb") as file:
        assert file.read() == before
    for line in ("", "left out 'tree.torrent'"):
        run = t.run_btget("create", ".", cwd=folder)
        assert line in run.err() and bool(line) == bool(run.err()), run.err()
        t.run_btget("check", "-d", t.dir, os.path.join(
            folder, "tree.torrent"))
    linked = t.path("linked.torrent")
    os.link(data, linked)
    t.run_btget("create", "-o", linked, folder, code=2)


@test(quick=True)
def test_create_makes_no_torrent_that_nobody_can_read(t):
    folder, file = t.folder("long"), t.path("long.torrent")
    path = os.path.join(folder, *["d" * 230] * 14)
    os.makedirs(path)
    sample.make_file(os.path.join(path, "f"), 1)
    for output in (file, "-"):
        run = t.run_btget("create", "-o", output, folder, code=4)
        assert len(run.err().splitlines()) == 1 and run.out() == "", run.err()
    assert not os.path.exists(file)


@test(quick=True)
def test_deep_folders_go_into_torrents_of_every_kind(t):
    folder, file = t.folder("deep"), t.path("deep.torrent")
    path = os.path.join(folder, *["d"] * 256)
    os.makedirs(path)
    sample.make_file(os.path.join(path, "f"), 1)
    for kind in ("--v1", "--v2", "--hybrid"):
        t.run_btget("create", kind, "-o", file, folder)
        t.run_btget("check", "-d", t.dir, file)
    os.mkdir(os.path.join(path, "d"))
    run = t.run_btget("create", "-o", file, folder, code=4)
    assert "nested more than 256 deep" in run.err(), run.err()


@test(quick=True)
def test_create_makes_the_torrent_that_we_compute(t):
    path = sample.make_tree(t.path("data"))
    out = t.path("out.torrent")
    t.run_btget("create", "--v1", "--piece-length", "64K", "-o", out,
                "--no-date", path)
    got, want = load(out), sample.make_torrent(path, piece_length=65536)
    assert got.info[b"pieces"] == want.info[b"pieces"] or sorted(
        map(str, got.info[b"files"])) == sorted(
        map(str, want.info[b"files"])), "other files"
    assert got.length == want.length
    t.run_btget("check", "-d", t.dir, out)
    t.run_btget("create", "--v1", "--piece-length", "64K", "-o", out + "2",
                "--no-date", path)
    with open(out, "rb") as one, open(out + "2", "rb") as two:
        assert one.read() == two.read(), "not the same twice"


@test(needs="libtorrent", quick=True)
def test_create_makes_what_libtorrent_makes(t):
    """The same info hashes for the same data, whatever its shape."""
    paths = [sample.make_tree(t.path("odd")),
             sample.make_tree(t.path("lone"), (("x/y", 150000),)),
             sample.make_tree(t.path("twice"), (("a", 0),), 1),
             sample.make_file(t.path("file"), 200001),
             sample.make_file(t.path("small"), 20000)]
    for name in "bcd":      # the same data under several roots
        sample.make_file(t.path("twice/" + name), 140000, 5)
    os.chmod(t.path("odd/m/large"), 0o755)
    for kind in ("v2", "hybrid"):
        for path in paths:
            ours, theirs = t.path("ours"), t.path("theirs")
            sample.make_torrent_by_libtorrent(path, theirs, kind)
            t.run_btget("create", "--" + kind, "--piece-length", "64K",
                        "-o", ours, path)
            got, want = (json.loads(t.run_btget("show", "--json", file).out())
                         for file in (ours, theirs))
            for key in ("info_hash_v1", "info_hash_v2", "files"):
                assert got[key] == want[key], (kind, path, key)
    t.run_btget("create", "-o", t.path("default"), paths[0])
    got = json.loads(t.run_btget("show", "--json", t.path("default")).out())
    assert got["info_hash_v1"] and got["info_hash_v2"], "no hybrid"
    t.run_btget("create", "--v1", "--v2", paths[0], code=2)


@test(quick=True)
def test_create_writes_what_it_is_told(t):
    path = sample.make_file(t.path("data.bin"), 100000)
    out = t.path("out.torrent")
    t.run_btget(
        "create", "--v1", "-o", out, "-a", "http://a.example/announce",
        "-a", "http://b.example/x,udp://c.example:1/y", "-w",
        "http://d.example/", "--private", "--comment", "a comment",
        "--source", "TEST", path)
    meta = load(out).meta
    assert meta[b"announce"] == b"http://a.example/announce"
    assert meta[b"announce-list"] == [
        [b"http://a.example/announce"],
        [b"http://b.example/x", b"udp://c.example:1/y"]]
    assert meta[b"url-list"] in (b"http://d.example/",
                                 [b"http://d.example/"])
    assert meta[b"comment"] == b"a comment"
    assert meta[b"info"][b"private"] == 1
    assert meta[b"info"][b"source"] == b"TEST"
    assert b"creation date" in meta


@test(quick=True)
def test_a_link_is_shown_and_checked_once_a_download_has_saved_it(t):
    scene = Scene(t, 4 * MIB)
    link = "magnet:?xt=urn:btih:" + scene.torrent.hex
    for verb in ("show", "check"):
        for arg in (link, scene.torrent.hex):
            run = t.run_btget(verb, arg, code=3)
            assert "no download has saved its metadata here" in run.err()
            assert len(run.err().splitlines()) == 1, run.err()
    seed = t.seed(scene.file, scene.source)
    t.run_btget("-d", scene.target, "-P", "127.0.0.1:%d" % seed.port, link)
    for arg in (link, scene.torrent.hex.upper()):
        run = t.run_btget("check", "-d", scene.target, arg)
        assert run.out().startswith("data.bin: complete"), run.out()
        run = t.run_btget("show", "--json", "--dir", scene.target, arg)
        shown = json.loads(run.out())
        assert shown["info_hash_v1"] == scene.torrent.hex, shown
        assert [f["path"] for f in shown["files"]] == ["data.bin"], shown
    file = sample.write_file(t.path("it.magnet"), link.encode() + b"\n")
    for verb, start in ("show", "name "), ("check", "data.bin: complete"):
        run = t.run_btget(verb, file, cwd=scene.target)
        assert run.out().startswith(start), run.out()
    with open(scene.result, "r+b") as out:
        out.write(b"other")
    t.run_btget("check", "-d", scene.target, link, code=6)
    # What is saved may be anything.
    sample.make_torrent(scene.path, info={"other": 1}).save(os.path.join(
        scene.target, ".btget", scene.torrent.hex + ".torrent"))
    for verb in ("show", "check"):
        run = t.run_btget(verb, "-d", scene.target, link, code=3)
        assert "another torrent" in run.err(), run.err()


@test(quick=True)
def test_create_takes_no_url_that_is_none(t):
    path = sample.make_file(t.path("x"), 5)
    for url in (",", "http://a.example/,", "http://a.example/,,udp://b:1",
                "ftp://a.example/", "/etc/passwd"):
        run = t.run_btget("create", "-o", t.path("x.torrent"), "-a", url,
                          path, code=2)
        assert run.err().startswith("btget: --announce: '"), run.err()
        assert not os.path.exists(t.path("x.torrent"))


@test(quick=True)
def test_create_takes_no_url_without_a_host(t):
    path, file = sample.make_file(t.path("x"), 5), t.path("x.torrent")
    for option, url, lacks in (
            ("-a", "http:///announce", "host"),
            ("-a", "https://:443/announce", "host"),
            ("-a", "http://u:p@/announce", "host"),
            ("-a", "udp://h", "host and port"),
            ("-a", "udp://h/announce", "host and port"),
            ("-a", "udp://h:0", "host and port"),
            ("-a", "udp://:80", "host and port"),
            ("-a", "http://h/,udp://::1", "host and port"),
            ("-w", "http:///data", "host")):
        run = t.run_btget("create", "-o", file, option, url, path, code=2)
        assert run.err().endswith("' names no %s\n" % lacks), run.err()
        assert not os.path.exists(file), url
    t.run_btget("create", "-o", file, "-a", "udp://[::1]:80", "-a",
                "http://u@h:1,HTTPS://[::1]/?k=://", "-w", "http://h", path)


@test(quick=True)
def test_create_refuses_a_url_without_its_secrets(t):
    path = sample.make_file(t.path("x"), 5)
    for option, url, shown in (
            ("-a", "httpx://h/%s/announce?passkey=SECRET" % ("5ecre7" * 5),
             "httpx://h/.../announce?passkey=..."),
            ("-a", "http://h/announce?passkey=ab,SECRET", "..."),
            ("-w", "gopher://u:SECRET@h/", "gopher://...@h/")):
        run = t.run_btget("create", "-o", t.path("x.torrent"), option, url,
                          path, code=2)
        assert ": '%s' is not a URL" % shown in run.err(), run.err()


@test()
def test_create_names_the_torrent_after_the_data(t):
    path = sample.make_file(t.path("data.bin"), 100000)
    t.run_btget("create", "--v1", path)
    assert os.path.exists(t.path("data.bin.torrent")), os.listdir(t.dir)
    done = t.run_btget("create", "--v1", t.path("missing"), code=4)
    assert len(done.err().splitlines()) == 1


@test(needs="libtorrent", quick=True)
def test_libtorrent_downloads_what_create_made(t):
    source = t.folder("source")
    path = sample.make_tree(os.path.join(source, "data"))
    url, _, _ = start_tracker(t)
    out = t.path("out.torrent")
    t.run_btget("create", "--v1", "-a", url, "-o", out, path)
    t.seed(out, source)
    one = clients.start_libtorrent(t, out, t.folder("target"))
    wait_for(lambda: '"seeding": true' in one.proc.out(), 40, "completion",
             alive=[one.proc])
    sample.assert_same(path, t.path("target", "data"))


@test(quick=True)
def test_show_json_has_the_promised_keys(t):
    path = sample.make_tree(t.path("data"))
    torrent = sample.make_torrent(
        path, [["http://a.example/announce", "udp://b.example:1/x"],
               ["http://c.example/announce"]], info={"private": 1},
        meta={"comment": "c\u00f6mment", "created by": "tests",
              "creation date": 1234567890,
              "url-list": ["http://d.example/distributions/"]})
    file = torrent.save(t.path("it.torrent"))
    shown = json.loads(t.run_btget("show", "--json", file).out())
    files = shown.pop("files")
    assert {f["path"]: f["length"] for f in files} == dict(sample.ODD_TREE)
    want = {
        "name": "data", "info_hash_v1": torrent.hex, "info_hash_v2": None,
        "length": torrent.length, "piece_length": 65536,
        "piece_count": torrent.piece_count, "private": True,
        "comment": "c\u00f6mment", "created_by": "tests",
        "creation_date": 1234567890,
        "web_seeds": ["http://d.example/distributions/"]}
    for key, value in want.items():
        assert shown[key] == value, (key, shown[key])
    assert [len(tier) for tier in shown["trackers"]] == [2, 1], shown
    text = t.run_btget("show", file).out()
    assert torrent.hex in text and "one byte" in text, text


@test(quick=True)
def test_show_prints_trackers_that_cannot_be_used(t):
    """The download goes on without them."""
    path = sample.make_file(t.path("data"), 5)
    tiers = [["wss://a.example/announce"],
             ["http://b.example/announce", "dht://c/"], ["udp://d.example"]]
    file = sample.make_torrent(path, tiers).save(t.path("it.torrent"))
    shown = json.loads(t.run_btget("show", "--json", file).out())["trackers"]
    assert shown == tiers, shown
    lines = t.run_btget("show", file).out().splitlines()
    assert [line.split()[1:] for line in lines if line.startswith("tracker")] \
        == [["1", "wss://a.example/announce"],
            ["2", "http://b.example/announce"], ["2", "dht://c/"],
            ["3", "udp://d.example"]], lines
    secret = ["wss://u:SECRET@a/?key=SECRET", "x" * 3000 + "://SECRET@a/"]
    file = sample.make_torrent(path, [secret]).save(t.path("it.torrent"))
    for words in ((), ("--json",)):
        assert "SECRET" not in t.run_btget("show", *words, file).out()


@test(quick=True)
def test_show_has_an_empty_line_between_two_alone(t):
    file = sample.make_torrent(sample.make_file(t.path("data"), 5)).save(
        t.path("it.torrent"))
    one = t.run_btget("show", file).out()
    bad = sample.write_file(t.path("bad.torrent"), b"none")
    assert t.run_btget("show", bad, file, code=3).out() == one
    assert t.run_btget("show", file, bad, file, code=3).out() == \
        one + "\n" + one


@test(quick=True)
def test_show_touches_no_network(t):
    scene = Scene(t, 1)
    scene.tracker.files["/it.torrent"] = scene.torrent.raw
    for url in (scene.tracker.base + "/it.torrent",
                "HTTPS://127.0.0.1:%d/it.torrent" % scene.tracker.port):
        for words in ((url,), ("--json", scene.file, url)):
            done = t.run_btget("show", *words, code=2, plain=True)
            lines = done.err().splitlines()
            assert len(lines) == 1 and "network" in lines[0], lines
            assert done.out() == "", done.out()
    assert not scene.tracker.requests
    # And a look would have been noticed.
    t.run_btget("check", scene.tracker.base + "/it.torrent", "-d",
                scene.source)
    assert scene.tracker.requests


@test(needs="libtorrent", quick=True)
def test_show_tells_both_hashes_of_a_hybrid(t):
    path = sample.make_tree(t.path("data"))
    hashes = {}
    for mode in ("v2", "hybrid"):
        file = sample.make_torrent_by_libtorrent(
            path, t.path(mode + ".torrent"), mode)
        shown = json.loads(t.run_btget("show", "--json", file).out())
        with open(file, "rb") as data:
            raw = sample.bencode(sample.bdecode(data.read())[b"info"])
        assert shown["info_hash_v2"] == hashlib.sha256(raw).hexdigest()
        hashes[mode] = shown["info_hash_v1"]
        assert {f["path"]: f["length"] for f in shown["files"]} == \
            dict(sample.ODD_TREE), shown["files"]
        assert shown["length"] == sum(n for _, n in sample.ODD_TREE)
    assert hashes["v2"] is None
    assert hashes["hybrid"] == hashlib.sha1(raw).hexdigest()


def damage(path, at):
    """Turns a byte round; the file keeps its size."""
    with open(path, "r+b") as data:
        data.seek(at)
        byte = data.read(1)[0]
        data.seek(at)
        data.write(bytes([byte ^ 255]))


@test(quick=True)
def test_check_knows_v2_trees_and_both_halves_of_a_hybrid(t):
    path = sample.make_tree(t.path("data"))
    size = dict(sample.ODD_TREE)["m/large"]
    for kind in ("--v2", "--hybrid"):
        file = t.path(kind[2:])
        t.run_btget("create", kind, "--piece-length", "64K", "-o", file, path)
        t.run_btget("check", "-d", t.dir, file)
        for name, at in (("a/one byte", 0), ("m/large", 65536),
                         ("m/large", size - 1), ("a/less one", 16382)):
            damage(os.path.join(path, name), at)
            shown = json.loads(t.run_btget("check", "--json", "-d", t.dir,
                                           file, code=6).out())
            wrong = [f for f in shown["files"] if f["good"] != f["length"]]
            assert [f["path"] for f in wrong] == [name], (kind, wrong)
            assert wrong[0]["length"] - wrong[0]["good"] == min(
                65536, wrong[0]["length"] - at // 65536 * 65536), wrong
            damage(os.path.join(path, name), at)
        t.run_btget("check", "-d", t.dir, file)


@test(quick=True)
def test_check_finds_hybrids_whose_halves_disagree(t):
    """By v1 it is right, by v2 it is not: then it is not right."""
    path = sample.make_file(t.path("data"), 300000)
    good, bad = t.path("good"), t.path("bad")
    t.run_btget("create", "--piece-length", "64K", "-o", good, path)
    damage(path, 100000)
    t.run_btget("create", "--piece-length", "64K", "-o", bad, path)
    meta, other = load(good).meta, load(bad).meta
    meta[b"info"][b"pieces"] = other[b"info"][b"pieces"]
    sample.write_file(t.path("mixed"), sample.bencode(meta))
    for file, code in ((bad, 0), (good, 6), (t.path("mixed"), 6)):
        t.run_btget("check", "-d", t.dir, file, code=code)


@test(quick=True)
def test_check_says_what_is_so(t):
    path = sample.make_tree(t.path("data"))
    file = sample.make_torrent(path).save(t.path("it.torrent"))
    t.run_btget("check", "-d", t.dir, file)
    done = t.run_btget("check", "--json", "-d", t.dir, file)
    json.loads(done.out())
    large = os.path.join(path, "m/large")
    with open(large, "r+b") as data:
        data.seek(1000000)
        data.write(b"wrong")
    t.run_btget("check", "-d", t.dir, file, code=6)
    json.loads(t.run_btget("check", "--json", "-d", t.dir, file,
                           code=6).out())
    os.remove(large)
    t.run_btget("check", "-d", t.dir, file, code=6)
    t.run_btget("check", "-d", t.path("nowhere"), file, code=6)
    assert not os.path.exists(large), "check created something"
    assert not os.path.exists(t.path("nowhere"))


@test(quick=True)
def test_check_says_what_has_not_got_its_name(t):
    path = sample.make_tree(t.path("data"), (("a", 16384), ("b", 16384)))
    file = sample.make_torrent(path, piece_length=16384).save(
        t.path("it.torrent"))
    words = ("check", "-d", t.dir, file)
    assert t.run_btget(*words).out() == "data: complete, 32.0 KiB\n"
    os.rename(path, path + ".part")
    done = t.run_btget(*words)
    assert done.out() == "data: complete, 32.0 KiB, in its .part\n", \
        done.out()
    done = t.run_btget(*words, "--json")
    assert json.loads(done.out())["in_part"] is True, done.out()
    os.remove(os.path.join(path + ".part", "b"))
    done = t.run_btget(*words, code=6)
    assert done.out().startswith("data: incomplete, 1 of 2 pieces right, "
                                 "16.0 KiB of 32.0 KiB, in its .part\n"), \
        done.out()


@test(quick=True)
def test_check_under_quiet_tells_what_is_wrong_alone(t):
    path = sample.make_tree(t.path("data"), (("a", 16384), ("b", 16384)))
    file = sample.make_torrent(path, piece_length=16384).save(
        t.path("it.torrent"))
    words = ("check", "-q", "-d", t.dir, file)
    for more in (), ("--json",):
        done = t.run_btget(*words, *more)
        assert done.out() + done.err() == "", (done.out(), done.err())
    damage(os.path.join(path, "b"), 0)
    for more in (), ("--json",):
        done = t.run_btget(*words, *more, code=6)
        assert done.out() == "", done.out()
        assert done.err() == "btget: data: incomplete, 1 of 2 pieces " \
            "right, 16.0 KiB of 32.0 KiB\n", done.err()
    done = t.run_btget("check", "-q", t.path("none"), code=3)
    assert len(done.err().splitlines()) == 1 and done.out() == ""


@test(quick=True)
def test_create_under_quiet_tells_errors_alone(t):
    """Not even what it leaves out."""
    path = sample.make_tree(t.path("data"), (("a", 5),))
    os.symlink("a", os.path.join(path, "b"))
    file = t.path("it.torrent")
    done = t.run_btget("create", "-o", file, path)
    assert done.out() and done.err(), "nothing to leave out"
    done = t.run_btget("create", "-q", "-o", file, path)
    assert done.out() + done.err() == "", (done.out(), done.err())
    done = t.run_btget("create", "-q", "-o", "-", path)
    assert done.out().startswith("d") and done.err() == "", done.err()
    done = t.run_btget("create", "-q", t.path("none"), code=4)
    assert len(done.err().splitlines()) == 1 and done.out() == ""


@test(quick=True)
def test_check_json_says_what_is_wrong_with_a_file(t):
    """Also where all that there should be is right."""
    tree = (("empty", 0), ("fine", 16384), ("gone", 5), ("long", 16384),
            ("tail", 16379), ("wrong", 16384))
    path = sample.make_tree(t.path("data"), tree)
    file = sample.make_torrent(path, piece_length=16384).save(
        t.path("it.torrent"))

    def states(code):
        shown = json.loads(t.run_btget("check", "--json", "-d", t.dir, file,
                                       code=code).out())
        assert shown["complete"] == (code == 0), shown
        return {f["path"]: f["state"] for f in shown["files"]}
    want = {name: "good" for name, _ in tree}
    assert states(0) == want
    os.remove(os.path.join(path, "empty"))
    want["empty"] = "missing"
    assert states(6) == want
    with open(os.path.join(path, "long"), "ab") as data:
        data.write(b"more")
    want["long"] = "too long"
    assert states(6) == want
    damage(os.path.join(path, "wrong"), 16383)
    want["wrong"] = "wrong"
    assert states(6) == want
    os.remove(os.path.join(path, "gone"))
    states(6)


def meet(*names, udp=False):
    """A seeder and a leech of other kinds meet by our tracker."""
    needs = sum((clients.NEEDS[n] for n in names), ())

    @test(deadline=120, needs=needs)
    def run(t):
        host = clients.host_for(*names)
        url = start_tracker(t, "--interval", "1", host=host)[udp]
        source, target = t.folder("source"), t.folder("target")
        path = sample.make_file(os.path.join(source, "data.bin"), MIB)
        file = sample.make_torrent(path, url).save(t.path("it.torrent"))
        clients.STARTERS[names[0]](t, file, source, host)
        clients.STARTERS[names[1]](t, file, target, clients.host_for(
            *names, number=1))
        got = os.path.join(target, "data.bin")

        def same():
            return os.path.exists(got) and \
                sample.read_content(got) == sample.read_content(path)
        wait_for(same, 100, "complete copy")
    return run


test_tracker_brings_libtorrent_and_aria2_together = meet("libtorrent",
                                                         "aria2")
test_tracker_by_udp_brings_libtorrent_and_rtorrent_together = meet(
    "libtorrent", "rtorrent", udp=True)
test_tracker_brings_libtorrent_and_transmission_together = meet(
    "libtorrent", "transmission")


def by_our_tracker(udp):
    @test(quick=True)
    def run(t):
        scene = Scene(t, MIB)
        urls = start_tracker(t)
        scene.torrent = sample.make_torrent(scene.path, urls[udp])
        scene.torrent.save(scene.file)
        t.seed(scene.file, scene.source)
        scene.download()
        scene.check()
    return run


test_ours_meet_by_our_tracker_over_http = by_our_tracker(0)
test_ours_meet_by_our_tracker_over_udp = by_our_tracker(1)


def announce(url, **values):
    values.setdefault("info_hash", b"\x01" * 20)
    values.setdefault("peer_id", b"-TT0001-000000000001")
    values.setdefault("port", 1000)
    for name in ("uploaded", "downloaded", "left"):
        values.setdefault(name, 0)
    query = "&".join(name + "=" + urllib.parse.quote(
        value if isinstance(value, bytes) else str(value))
        for name, value in values.items())
    with urllib.request.urlopen(url + "?" + query, timeout=10) as answer:
        return sample.bdecode(answer.read())


@test(quick=True)
def test_tracker_answers_as_the_rules_say(t):
    url, _, proc = start_tracker(t, "--interval", "77")
    first = announce(url, compact=1, left=5)
    assert first[b"interval"] == 77, first
    second = announce(url, compact=1, port=2000,
                      peer_id=b"-TT0001-000000000002")
    assert second[b"peers"] == socket.inet_aton("127.0.0.1") + \
        struct.pack(">H", 1000), second
    assert second[b"complete"] == 1 and second[b"incomplete"] == 1, second
    scrape = url.replace("announce", "scrape") + "?info_hash=" + \
        urllib.parse.quote(b"\x01" * 20)
    with urllib.request.urlopen(scrape, timeout=10) as answer:
        files = sample.bdecode(answer.read())[b"files"]
    assert files[b"\x01" * 20][b"complete"] == 1, files
    announce(url, event="stopped", left=5)
    third = announce(url, compact=1, port=2000,
                     peer_id=b"-TT0001-000000000002")
    assert third[b"peers"] == b"", third
    bad = announce(url, info_hash=b"short")
    assert b"failure reason" in bad, bad
    proc.signal(signal.SIGTERM)
    proc.wait(10)
    assert proc.code in (0, 143), proc.code


@test()
def test_tracker_keeps_who_announces_less_often_than_it_is_told(t):
    """As most do when the interval is a second."""
    url, _, _ = start_tracker(t, "--interval", "1")
    announce(url, compact=1, left=5)
    time.sleep(2.5)     # longer than two intervals
    other = {"compact": 1, "port": 2000, "peer_id": b"-TT0001-000000000002"}
    assert len(announce(url, **other)[b"peers"]) == 6
    announce(url, event="stopped", left=5)
    assert announce(url, **other)[b"peers"] == b""


@test()
def test_tracker_allows_only_what_it_is_told(t):
    allow = sample.write_file(t.path("allow"),
                              b"# comment\n" + b"02" * 20 + b"\n")
    url, _, _ = start_tracker(t, "--allow", allow)
    assert b"failure reason" in announce(url)
    assert b"peers" in announce(url, info_hash=b"\x02" * 20)


@test()
def test_tracker_survives_rubbish(t):
    url, _, proc = start_tracker(t)
    parts = urllib.parse.urlsplit(url)
    where = (parts.hostname, parts.port)
    for data in (b"", b"\0" * 5000, b"GET " + b"a" * 200000,
                 b"GET /announce?info_hash=%zz HTTP/1.1\r\n\r\n",
                 b"POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n",
                 b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 50000):
        with socket.create_connection(where, 5) as sock:
            try:
                sock.sendall(data)
            except OSError:
                pass
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        for size in (0, 1, 15, 16, 17, 97, 98, 1400):
            udp.sendto(os.urandom(size), where)
        for action in range(5):
            udp.sendto(struct.pack(">QII", 0x41727101980, action, 7) +
                       b"\xff" * 90, where)
    idle = [socket.create_connection(where, 5) for _ in range(100)]
    assert b"peers" in announce(url)
    for sock in idle:
        sock.close()
    proc.peak()
    assert 0 < proc.peak_kib < 64 << 10, proc.peak_kib


@test(quick=True)
def test_libcurl_is_loaded_by_those_who_ask_it_alone(t):
    """With one that cannot be loaded: all else works, and who needs it says
    why it does not."""
    scene = Scene(t, MIB)
    os.mkdir(t.path("broken"))
    with open(t.path("broken", "libcurl.so.4"), "w") as fake:
        fake.write("none\n")
    scene.seed()
    scene.download()
    env = dict(t.env, LD_LIBRARY_PATH=t.path("broken"))
    t.run_btget("create", "-o", t.path("o.torrent"), scene.result, env=env)
    t.run_btget("show", scene.file, env=env)
    t.run_btget("check", "-d", scene.target, scene.file, env=env)
    scene.download(env=env)
    said = t.run_btget("--version", env=env).out()
    assert "cannot load libcurl: " in said, said
    os.remove(scene.result)
    run = scene.start("--stall-timeout", "1", env=env).expect(5, 30)
    assert "': cannot load libcurl: " in run.err(), run.err()
    run = t.run_btget("http://127.0.0.1:9/x.torrent", env=env, code=1)
    assert "x.torrent: cannot load libcurl: " in run.err(), run.err()
