"""Goal: btget finds its peers through HTTP and UDP trackers of others and its
own, tells them the truth, falls through from bad ones to good ones, and no
tracker, however hostile, harms it or learns or shows what it should not."""
import os
import signal
import socket
import struct
import threading
import time
import urllib.parse
import urllib.request

import clients
import peer
import sample
import tracker
from harness import (BTGET, SANITIZED, SLOW, children, free_port,
                     read_text, test, wait_for)
from swarm import MIB, Flag, Scene


def announce_again(scene, announce, **more):
    """The scene's torrent with other trackers."""
    scene.torrent = sample.make_torrent(scene.path, announce, **more)
    scene.torrent.save(scene.file)


def through_opentracker(which):
    @test(needs=("opentracker",), quick=which == 1)
    def run(t):
        scene = Scene(t, MIB)
        urls = clients.start_opentracker(t, scene.torrent)
        announce_again(scene, urls[which])
        t.seed(scene.file, scene.source)
        scene.download()
        scene.check()
        assert not scene.tracker.requests
    return run


test_opentracker_by_http = through_opentracker(0)
test_opentracker_by_udp = through_opentracker(1)


def opentracker_counts(which):
    """It counts us as seeds, downloads and leeches; a partial seed is none
    of the first two."""
    @test(deadline=90, needs=("opentracker",))
    def run(t):
        scene = Scene(t, files=[("a", MIB), ("b", MIB)])
        urls = clients.start_opentracker(t, scene.torrent)
        announce_again(scene, urls[which])
        scrape = urls[0].replace("announce", "scrape") + "?info_hash=" + \
            urllib.parse.quote(scene.torrent.info_hash)

        def count(*want):
            def same():
                with urllib.request.urlopen(scrape, timeout=10) as answer:
                    found = sample.bdecode(answer.read())[b"files"]
                one = found.get(scene.torrent.info_hash, {})
                return want == tuple(one.get(key, 0) for key in (
                    b"complete", b"downloaded", b"incomplete"))
            wait_for(same, 15, "count of %d, %d, %d" % want)

        def stop(proc):
            proc.signal(15)
            proc.expect(143, 10)
        seed = t.seed(scene.file, scene.source)
        count(1, 0, 0)
        part = t.btget("-d", t.path("part"), "-p", "0", "-f", "2",
                       "--seed-time", "1h", scene.file)
        wait_for(lambda: "seeding" in part.out(), 30, "the partial seed",
                 alive=[part])
        count(1, 0, 1)
        leech = scene.start("--seed-time", "1h")
        count(2, 1, 1)
        stop(part)
        count(2, 1, 0)
        stop(seed)
        count(1, 1, 0)
        stop(leech)
        count(0, 1, 0)
        scene.download()
        count(0, 1, 0)
    return run


test_opentracker_counts_by_http = opentracker_counts(0)
test_opentracker_counts_by_udp = opentracker_counts(1)


@test(quick=True)
def test_an_http_tracker_is_told_the_truth(t):
    scene = Scene(t, 2 * MIB)
    scene.slow_seed(0.005)
    scene.download()
    notes = scene.tracker.of(scene.torrent)
    events = [a.event for a in notes]
    assert events[0] == "started" and events[-1] == "stopped", events
    assert events.count("started") == 1, events
    assert events.count("completed") == 1, events
    assert notes[0].left == 2 * MIB and notes[0].downloaded == 0
    done = scene.tracker.of(scene.torrent, "completed")[0]
    assert done.left == 0 and done.downloaded >= 2 * MIB, done.values
    lefts = [a.left for a in notes]
    assert lefts == sorted(lefts, reverse=True), lefts
    first = notes[0].values
    assert first["compact"] == b"1", first
    assert len(notes[0].peer_id) == 20, first
    assert notes[0].peer_id.startswith(b"-bg"), first
    assert len({a.peer_id for a in notes}) == 1
    assert len({a.values["key"] for a in notes}) == 1
    assert all(1 <= a.port <= 65535 for a in notes)
    assert "btget" in scene.tracker.headers[0]["User-Agent"]


@test(quick=True)
def test_a_udp_tracker_is_told_the_truth(t):
    scene = Scene(t, MIB)
    announce_again(scene, scene.tracker.udp_url + "?pass=word")
    scene.seed()
    scene.download()
    notes = scene.tracker.of(scene.torrent)
    assert {a.kind for a in notes} == {"udp"}
    assert notes[0].event == "started" and notes[0].left == MIB
    assert notes[-1].event == "stopped" and notes[-1].left == 0
    assert len({a.values["key"] for a in notes}) == 1
    # BEP 41: the path and query follow as options.
    assert b"/announce?pass=word" in notes[0].options, notes[0].options


@test()
def test_lost_packets_of_a_udp_tracker_are_sent_again_soon(t):
    scene = Scene(t, MIB)
    announce_again(scene, scene.tracker.udp_url)
    scene.seed()
    scene.tracker.udp_script = tracker.UdpLosing()
    scene.download(seconds=25)
    scene.check()
    assert scene.tracker.udp_script.lost == {0, 1}


@test()
def test_a_seed_from_the_start_never_says_completed(t):
    scene = Scene(t, MIB)
    t.seed(scene.file, scene.source)
    wait_for(lambda: scene.tracker.seeders(scene.torrent), 20, "announce")
    time.sleep(2.5)
    assert not scene.tracker.of(scene.torrent, "completed")


@test(quick=True)
def test_a_seed_calls_who_wants_something(t):
    """So it is of use where nobody can call it."""
    scene = Scene(t, MIB)
    leech = peer.Peer(t, scene.torrent, b"", peer.good_leech,
                      host="127.0.0.3")
    scene.tracker.static.append(leech.where)
    t.seed(scene.file, scene.source)
    assert leech.done.wait(20 * SLOW), leech.ends


@test(quick=True)
def test_so_does_one_that_has_just_become_a_seed(t):
    scene = Scene(t, MIB)
    flag = threading.Event()
    scene.seed(host="127.0.0.2", hold=flag)
    run = scene.start("--seed-time", "1h")
    wait_for(lambda: scene.tracker.of(scene.torrent, "started"), 20,
             "announce", alive=[run])
    leech = peer.Peer(t, scene.torrent, b"", peer.good_leech,
                      host="127.0.0.3")
    scene.tracker.static.append(leech.where)
    flag.set()
    assert leech.done.wait(20 * SLOW), leech.ends


@test(deadline=90)
def test_the_interval_is_kept(t):
    scene = Scene(t, MIB, tracker={"interval": 3,
                                   "extra": {"min interval": 3}})
    scene.seed(peer.never_unchokes)
    proc = scene.start()
    wait_for(lambda: len(scene.tracker.of(scene.torrent)) >= 3, 30,
             "three announces", alive=[proc])
    times = [a.when for a in scene.tracker.of(scene.torrent)]
    gaps = [b - a for a, b in zip(times, times[1:])]
    assert min(gaps) > 2.5, gaps


@test()
def test_the_tracker_id_is_given_back(t):
    scene = Scene(t, MIB, tracker={"extra": {"tracker id": "abc 7&x"}})
    scene.seed()
    scene.download()
    last = scene.tracker.of(scene.torrent)[-1]
    assert last.values.get("trackerid") == b"abc 7&x", last.values


@test(quick=True)
def test_who_answers_late_hears_the_end_in_order(t):
    """Its answer to `started` comes when another one knows the end."""
    def late(request, note):
        over = time.monotonic() + 20 * SLOW
        while note.event == "started" and time.monotonic() < over and \
                not scene.tracker.of(scene.torrent, "stopped"):
            time.sleep(0.005)
        return sample.bencode({"interval": 60, "peers": b""})

    scene = Scene(t, MIB)
    other = tracker.Tracker(t, "127.0.0.9", script=late)
    announce_again(scene, [[scene.tracker.url], [other.url]])
    scene.seed(hold=Flag(lambda: other.announces))
    scene.download()
    assert [(a.event, a.left) for a in other.announces] == [
        ("started", MIB), ("completed", 0), ("stopped", 0)], other.announces


def tiers(make):
    @test(deadline=90, quick=True)
    def run(t):
        scene = Scene(t, MIB)
        announce_again(scene, make(t, scene))
        scene.seed()
        scene.download(seconds=60)
        scene.check()
    return run


def dead(kind):
    return "%s://127.0.0.1:%d/announce" % (kind, free_port())


test_the_second_tracker_of_a_tier_is_tried = tiers(
    lambda t, scene: [[dead("http"), scene.tracker.url]])
test_the_second_tier_works_beside_a_dead_first = tiers(
    lambda t, scene: [[dead("udp")], [scene.tracker.url]])
test_an_unknown_scheme_is_passed_over = tiers(
    lambda t, scene: [["wss://127.0.0.1:1/"], ["rubbish"],
                      [scene.tracker.url]])
test_a_redirect_is_followed = tiers(
    lambda t, scene: scene.tracker.base + "/redirect/announce")
test_150_dead_trackers_are_no_harm = tiers(
    lambda t, scene: [["http://127.0.0.1:9/%d" % i] for i in range(150)] +
    [[scene.tracker.url]])


@test()
def test_100_silent_trackers_hold_up_nobody(t):
    scene = Scene(t, MIB)
    silent = socket.create_server(("127.0.0.9", 0), backlog=512)
    t.at_end.append(silent.close)
    url = "http://127.0.0.9:%d/%%d/announce" % silent.getsockname()[1]
    announce_again(scene, [[url % i] for i in range(100)] +
                   [[scene.tracker.url]])
    scene.seed()
    scene.download(seconds=25)
    scene.check()


@test()
def test_silent_trackers_of_a_tier_do_not_hold_up_the_good_one(t):
    scene = Scene(t, MIB)
    http = socket.create_server(("127.0.0.9", 0))
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("127.0.0.9", 0))
    t.at_end += [http.close, udp.close]
    announce_again(scene, [[
        "http://127.0.0.9:%d/announce" % http.getsockname()[1],
        "udp://127.0.0.9:%d" % udp.getsockname()[1], scene.tracker.url]])
    scene.seed()
    scene.download(seconds=20)
    scene.check()


@test(quick=True)
def test_trackers_that_say_nothing_hold_up_no_torrent(t):
    """A hundred name the same four of them before the good one."""
    silent = [socket.create_server(("127.0.0.9", 0), backlog=512)
              for _ in range(4)]
    t.at_end += [one.close for one in silent]
    urls = ["http://127.0.0.9:%d/announce" % one.getsockname()[1]
            for one in silent]
    good = tracker.Tracker(t, interval=1800)
    files = []
    for i in range(100):
        name = "file%02d" % i
        torrent = sample.make_torrent(
            sample.make_file(t.path("data", name), 1000, name),
            [[url] for url in urls + [good.url]])
        files.append(torrent.save(t.path("torrents", name + ".torrent")))
    proc = t.btget("-d", t.path("data"), "-p", "0", "--seed-time", "1h",
                   *files)
    wait_for(lambda: len({a.info_hash for a in good.announces}) == len(files),
             15, "all of them", alive=[proc])


def answered(make):
    """A good peer, given by the tracker in some lawful form."""
    @test(quick=True)
    def run(t):
        scene = Scene(t, MIB)
        one = scene.seed(host=getattr(make, "host", "127.0.0.1"))
        scene.tracker.script = make(one.where)
        scene.download()
        scene.check()
    return run


test_peers_as_dictionaries = answered(lambda w: tracker.fixed(sample.bencode({
    "interval": 60, "peers": [{"ip": w[0], "port": w[1], "peer id":
                               "-TT0001-012345678901"}]})))
test_peers_by_name = answered(lambda w: tracker.fixed(sample.bencode({
    "interval": 60, "peers": [{"ip": "0x7f.1", "port": 9},
                              {"ip": "localhost", "port": w[1]}]})))
test_peers_in_a_gzipped_answer = answered(lambda w: tracker.gzipped({
    "interval": 60, "peers": tracker.compact([w])}))
test_peers_with_a_warning = answered(lambda w: tracker.fixed(sample.bencode({
    "warning message": "be nice", "interval": 60,
    "peers": tracker.compact([w])})))
test_peers_beside_unknown_keys = answered(lambda w: tracker.fixed(
    sample.bencode({"aaa": [1, {"b": []}], "interval": 60, "zzz": "",
                    "peers": tracker.compact([w])})))


@test(quick=True)
def test_the_300th_tracker_is_asked_where_others_fail(t):
    scene = Scene(t, MIB)
    urls = ["http://127.0.0.1:1/announce/%d" % i for i in range(299)]
    announce_again(scene, [[url] for url in urls] + [[scene.tracker.url]])
    scene.seed()
    run = scene.download(seconds=30)
    scene.check()
    assert "left out" not in run.err(), run.err()
    link = "magnet:?xt=urn:btih:%s&tr=%s&tr=%s" % (
        scene.torrent.hex, "&tr=".join(urls), scene.tracker.url)
    before = len(scene.tracker.announces)
    proc = t.btget("-d", t.path("other"), "-p", "0", link)
    wait_for(lambda: len(scene.tracker.announces) > before, 30,
             "announce by the link", alive=[proc])


@test(quick=True)
def test_a_warning_says_how_many_trackers_are_left_out(t):
    scene = Scene(t, MIB)
    urls = ["http://127.0.0.1:1/announce/%d" % i for i in range(1004)]
    announce_again(scene, [[scene.tracker.url]] + [[url] for url in urls])
    scene.seed()
    run = scene.download(seconds=30)
    warnings = [line for line in run.err().splitlines() if "left out" in line]
    assert len(warnings) == 1 and "the last 5 trackers" in warnings[0] and \
        "http" not in warnings[0], run.err()


@test()
def test_peers_by_ipv6(t):
    scene = Scene(t, MIB)
    one = scene.seed(host="::1")
    scene.tracker.script = tracker.fixed(sample.bencode({
        "interval": 60, "peers": b"",
        "peers6": tracker.compact6([one.where])}))
    scene.download()
    scene.check()


@test()
def test_a_tracker_by_ipv6(t):
    scene = Scene(t, MIB, host="::1")
    scene.seed()
    scene.download()
    scene.check()


@test(quick=True)
def test_a_failure_reason_is_told_in_one_line(t):
    scene = Scene(t, MIB, script=tracker.fixed(sample.bencode({
        "failure reason": "torrent not registered"})))
    done = scene.download("--stall-timeout", "%g" % (3 * SLOW), code=5)
    lines = [n for n in done.err().splitlines()
             if n.startswith("btget: data.bin: tracker ")]
    assert len(lines) == 1 and "not registered" in lines[0], done.err()


@test(quick=True)
def test_many_trackers_cannot_flood_the_screen(t):
    scene = Scene(t, MIB, script=tracker.fixed(sample.bencode({
        "failure reason": "torrent not registered"})))
    # Not numbered: these would be hidden, and the lines the same.
    letters = "abcdefghij"
    announce_again(scene, [["%s/%s%s/announce" % (scene.tracker.base, a, b)]
                           for a in letters for b in letters])
    done = scene.download("--stall-timeout", "%g" % (4 * SLOW), code=5)
    lines = [n for n in done.err().splitlines()
             if n.startswith("btget: data.bin: tracker ")]
    assert len(lines) == 8, done.err()
    assert len(scene.tracker.announces) >= 100


@test(quick=True)
def test_a_passkey_is_never_shown(t):
    scene = Scene(t, MIB)
    log = t.path("log.txt")
    secret = "5ecre7c0de5ecre7c0de5ecre7c0de55"
    urls = ["%s/%s/announce" % (scene.tracker.base, secret),
            "%s/announce?passkey=%s" % (scene.tracker.base, secret),
            "udp://127.0.0.1:%d/%s/announce" % (free_port(), secret)]
    for script in (tracker.fixed(b"no", 404), tracker.fixed(sample.bencode(
            {"failure reason": "unknown"}))):
        scene.tracker.script = script
        announce_again(scene, [[url] for url in urls])
        done = scene.download("-v", "-v", "-l", log, "--progress", "json",
                              "--stall-timeout", "%g" % (4 * SLOW), code=5)
        with open(log) as data:
            text = done.out() + done.err() + data.read()
        assert secret not in text, text
    assert any(secret in path for path in scene.tracker.requests)
    shown = t.run_btget("show", scene.file)
    assert secret not in shown.out(), shown.out()


@test(quick=True)
def test_a_passkey_that_a_tracker_repeats_is_never_shown(t):
    """Short ones, since long ones look like keys wherever they stand."""
    log = t.path("log.txt")
    words = "Unknown passkey My-Key or 4711-pw for you"

    def udp_says(at, data, source, action, transaction):
        return struct.pack(">II", 3, transaction) + words.encode()

    scene = Scene(t, MIB)
    http = ["%s/My-Key/announce?pw=4711-pw" % scene.tracker.base]
    udp = ["udp://127.0.0.1:%d/My-Key/announce?pw=4711-pw" %
           scene.tracker.port]
    failure = tracker.fixed(sample.bencode({"failure reason": words}))
    warning = tracker.fixed(sample.bencode({
        "warning message": words, "interval": 60, "peers": b""}))
    scene.tracker.udp_script = udp_says
    for urls, script in ((http, failure), (http, warning), (udp, None)):
        scene.tracker.script = script
        announce_again(scene, [urls])
        done = scene.download("-v", "-v", "-l", log, "--progress", "json",
                              "--stall-timeout", "%g" % (3 * SLOW), code=5)
        with open(log) as data:
            text = done.out() + done.err() + data.read()
        assert "Unknown passkey ... or ... for you" in text, text
        assert "My-Key" not in text and "4711-pw" not in text, text
    for more in ((), ("--json",)):
        shown = t.run_btget("show", *more, scene.file)
        assert "127.0.0.1:%d/.../announce" % scene.tracker.port in \
            shown.out(), shown.out()


@test(quick=True)
def test_a_passkey_is_in_no_title_and_no_environment(t):
    """What others on the machine see of the process, its threads, and the
    commands that it runs."""
    secret = "5ecre7c0de5ecre7c0de5ecre7c0de55"
    scene = Scene(t, MIB)
    announce_again(scene, [["%s/%s/announce" % (scene.tracker.base, secret)]])
    out = t.path("told")
    seed = scene.slow_seed(0.02)
    proc = scene.start("--on-complete", "env > %s; ps axww >> %s" %
                       (out, out))
    scene.wait_requests(seed, 20, proc)
    root = "/proc/%d/" % proc.pid
    seen = read_text(root + "cmdline") + "".join(
        read_text(root + "task/%s/comm" % task)
        for task in os.listdir(root + "task"))
    proc.expect(0)
    assert any(secret in path for path in scene.tracker.requests)
    assert "btget" in seen and secret not in seen, seen
    assert "BTGET_NAME" in read_text(out) and secret not in read_text(out)


def titles(*procs):
    """What a list of processes shows of them, and of their children."""
    return [read_text("/proc/%d/cmdline" % pid).replace("\0", " ")
            for proc in procs for pid in [proc.pid, *children(proc.pid)]]


@test(quick=True)
def test_a_passkey_of_the_command_line_is_in_no_title(t):
    """Nor in those of the helpers; and it is used all the same."""
    secret = "5ecre7c0de5ecre7c0de5ecre7c0de55"
    scene = Scene(t, MIB)
    announce = "%s/%s/announce" % (scene.tracker.base, secret)
    watched = t.folder("watched")
    runs = [t.btget("-d", t.path("got"), "-p", "0", "--on-complete", ":",
                    "--watch", watched, "-l", t.path("it.log"),
                    "magnet:?xt=urn:btih:%s&tr=%s" % (scene.torrent.hex,
                                                      announce),
                    scene.tracker.base + "/dl?passkey=" + secret)]
    wait_for(lambda: any("announce" in path and secret in path
                         for path in scene.tracker.requests) and
             any("/dl" in path and secret in path
                 for path in scene.tracker.requests), 20, "both requests",
             alive=runs)
    seen = titles(*runs)
    assert len(seen) == 3, seen
    big = t.path("big")
    with open(big, "wb") as out:
        out.truncate(1 << 40)
    for n, words in enumerate((
            ("-a", announce), ("-a" + announce,), ("--announce", announce),
            ("--announce=" + announce,), ("-w", announce))):
        runs.append(t.btget("create", "-o", t.path("%d" % n), *words, big))
        wait_for(lambda: "***" in titles(runs[-1])[0], 20, "stars",
                 alive=runs[-1:])
        seen += titles(runs[-1])
        runs[-1].signal(signal.SIGTERM)
        runs[-1].expect(143)
    assert secret not in "".join(seen), seen
    assert all("127.0.0.1:%d***" % scene.tracker.port in one
               for one in seen[3:]), seen
    assert "xt=urn:btih:%s&tr=***" % scene.torrent.hex in seen[0], seen


def held(proc, limit_mib=96):
    """The program neither swelled nor crashed."""
    assert proc.peak_kib > 0, "it was not looked at"
    assert SANITIZED or proc.peak_kib < limit_mib << 10, \
        "%d KiB resident" % proc.peak_kib


def beside_hostile(name, udp=False):
    """The bad tracker in one tier, a good one in another."""
    @test(deadline=90)
    def run(t):
        scene = Scene(t, MIB)
        scripts = tracker.HOSTILE_UDP if udp else tracker.HOSTILE
        bad = tracker.Tracker(t, "127.0.0.9", **{
            "udp_script" if udp else "script": scripts[name]})
        announce_again(scene, [[bad.udp_url if udp else bad.url],
                               [scene.tracker.url]])
        met = []
        if udp:
            inner = bad.udp_script

            def note(*args):
                met.append(1)
                return inner(*args)
            bad.udp_script = note
        one = scene.seed(hold=Flag(lambda: bad.announces or met))
        proc = scene.download(seconds=60)
        scene.check()
        assert one.connections and (bad.announces or met)
        held(proc)
        assert "\x1b" not in proc.err() and "\r" not in proc.err()
        assert all(len(n) < 1000 for n in proc.err().splitlines())
    return run


for NAME in tracker.HOSTILE:
    globals()["test_beside_http_" + NAME.replace(" ", "_")] = \
        beside_hostile(NAME)
for NAME in tracker.HOSTILE_UDP:
    globals()["test_beside_udp_" + NAME.replace(" ", "_")] = \
        beside_hostile(NAME, True)


def alone_with(name):
    """Nothing but the bad tracker: it gives up with 5, in time."""
    @test(deadline=60, quick=name == "endless body")
    def run(t):
        scene = Scene(t, MIB, script=tracker.HOSTILE[name])
        proc = scene.download("--deadline", "4s", code=5, seconds=25)
        held(proc)
    return run


for NAME in ("endless body", "endless headers", "slow drip", "silence",
             "gzip bomb", "redirect loop"):
    globals()["test_alone_with_" + NAME.replace(" ", "_")] = alone_with(NAME)


@test(needs="strace")
def test_a_redirect_opens_no_file(t):
    secret = sample.write_file(t.path("secret"), b"d8:intervali1ee")
    scene = Scene(t, MIB, script=tracker.redirect_to("file://" + secret))
    trace = t.path("trace")
    t.spawn(["strace", "-f", "-o", trace, "-e", "trace=openat,open",
             BTGET, "--no-dht", "-p", "0",
             "--deadline", "3s", "-d", scene.target, scene.file],
            env=dict(t.env, ASAN_OPTIONS="detect_leaks=0")).expect(5)
    with open(trace) as lines:
        assert secret not in lines.read()


@test()
def test_an_announce_url_cannot_add_headers(t):
    scene = Scene(t, MIB)
    announce_again(scene, scene.tracker.url + "?a=b\r\nX-Owned: yes\r\n")
    scene.seed()
    proc = scene.start("--deadline", "4s")
    proc.wait()
    assert not any("X-Owned" in h for h in scene.tracker.headers)
