"""Goal: a torrent that does not come (a server that says nothing, standard
input held open, a pipe that nobody writes to) keeps no other one waiting, is
taken when it comes, and is given up in time."""
import json
import os
import shutil
import signal
import subprocess
import time

import peer
import sample
from harness import SLOW, test, wait_for
from swarm import MIB, Scene
from tracker import Tracker
from web import Web


class Url:
    """A server that answers once it is told what."""

    def __init__(self, t):
        self.data = None
        self.web = Web(t, t.folder("empty"), self.answer)
        self.name = self.label = self.web.url + "x.torrent"
        self.stdin = None

    def answer(self, handler, *_):
        while self.data is None and not self.web.ending.wait(0.02):
            pass
        handler.plain(200, self.data or b"")

    def say(self, data, proc):
        wait_for(lambda: self.web.requests, 20, "a request", alive=[proc])
        self.data = data


class Stdin:
    """Standard input, held open until something is said."""

    def __init__(self, t):
        self.name, self.label = "-", "standard input"
        self.stdin, self.end = os.pipe()
        t.at_end.append(self.close)

    def say(self, data, _):
        os.write(self.end, data)
        self.close()

    def close(self):
        if self.end is not None:
            os.close(self.end)
            os.close(self.stdin)
        self.end = None


class Fifo:
    """A FIFO to which nobody writes until something is to be said."""

    def __init__(self, t):
        self.name = self.label = t.path("fifo")
        os.mkfifo(self.name)
        self.stdin = None

    def say(self, data, proc):
        wait_for(lambda: self.write(data), 20, "a reader", alive=[proc])

    def write(self, data):
        try:
            end = os.open(self.name, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            return False
        with open(end, "wb") as out:
            out.write(data)
        return True


def each(run):
    """A test for each way to be kept waiting."""
    made = []
    for kind in (Url, Stdin, Fifo):
        def one(t, kind=kind):
            run(t, kind(t))
        made.append(test(quick=True)(one))
    return made


def make(t, name):
    scene = Scene(t, MIB, name=name, seed=name)
    scene.seed()
    scene.target = t.path("target")
    return scene


def start(scene, slow, *args, **options):
    """The slow one comes first."""
    if slow.stdin is not None:
        options["stdin"] = slow.stdin
    return scene.t.btget("-d", scene.target, "-p", "0", *args, slow.name,
                         scene.file, **options)


@test(quick=True)
def test_while_its_server_is_away_what_a_url_gave_is_gone_on_with(t):
    scene = make(t, "one")
    web = Web(t, scene.source)
    url = web.url + os.path.basename(scene.file)
    words = ["-d", scene.target, "-p", "0"]
    proc = t.btget(*words, "--down-limit=16", url)
    wait_for(lambda: scene.tracker.announces, 20, "an announce", alive=[proc])
    proc.signal(signal.SIGTERM)
    proc.expect(143)
    web.stop()
    done = t.run_btget(*words, url)
    scene.check()
    assert "going on with what it gave before" in done.err(), done.err()
    done = t.run_btget(*words, "-q", url)
    assert done.out() == done.err() == ""
    # Nothing is known of any other.
    t.run_btget(*words, url + "?other", code=3)


@test(quick=True)
def test_what_a_url_leads_to_now_counts(t):
    """Be it another torrent, or none: a page that asks for a login, or the
    word that there is none any more. A server that cannot now says nothing."""
    one, two = make(t, "one"), make(t, "two")
    two.target = one.target
    answers = [open(scene.file, "rb").read() for scene in (one, two)]
    said = []
    web = Web(t, t.folder("empty"), lambda handler, *_: handler.plain(
        *said[-1]))
    for scene, data in zip((one, two), answers):
        said.append((200, data))
        t.run_btget("-d", scene.target, "-p", "0", web.url + "latest")
        scene.check()
    for status, data, code, words in (
            (200, b"<html>who are you?</html>", 3, "invalid torrent"),
            (404, b"", 3, "the server answered 404\n"),
            (403, b"", 3, "the server answered 403\n"),
            (503, b"", 0, "the server answered 503: going on with what it "
             "gave before\n"),
            (429, b"", 0, "the server answered 429: going on with what it "
             "gave before\n")):
        said.append((status, data))
        done = t.run_btget("-d", one.target, "-p", "0", web.url + "latest",
                           code=code)
        assert "latest: " + words in done.err(), done.err()
    two.check()


@test(quick=True)
def test_a_url_is_taken_as_people_write_it(t):
    scene = make(t, "one")
    name = "Gr\u00f6\u00dfe 1.torrent"
    shutil.copy(scene.file, os.path.join(scene.source, name))
    web = Web(t, scene.source)
    t.run_btget("-d", scene.target, "-p", "0", web.url + name)
    scene.check()


@test(needs=("namespaces", "mount", "ip"))
def test_a_host_within_that_has_a_public_address_as_well(t):
    """The one that nobody answers at is tried first."""
    scene = make(t, "one")
    web = Web(t, scene.source)
    hosts = t.path("hosts")
    sample.write_file(hosts, b"127.0.0.1 localhost\n2a00:1::9 two.test\n"
                      b"127.0.0.1 two.test\n")
    subprocess.run(["mount", "--bind", hosts, "/etc/hosts"], check=True)
    subprocess.run(["ip", "addr", "add", "2a00:1::9/128", "dev", "lo",
                    "nodad"], check=True)
    url = web.url.replace("127.0.0.1", "two.test")
    t.run_btget("-d", scene.target, "-p", "0",
                url + os.path.basename(scene.file))
    scene.check()


def wait_done(scene, proc):
    wait_for(lambda: os.path.exists(scene.result), 20, scene.torrent.name,
             alive=[proc])
    scene.check()


def events(proc, name):
    return [line for line in map(json.loads, proc.out().splitlines())
            if line["event"] == name]


def left_by_term(t, slow):
    good = make(t, "good")
    proc = start(good, slow)
    wait_done(good, proc)
    assert proc.running() and proc.err() == "", proc.err()
    proc.signal(signal.SIGTERM)
    proc.expect(143, 5)
    assert proc.err() == "", proc.err()


@test(quick=True)
def test_what_failed_before_counts_where_a_signal_ends_the_waiting(t):
    """And nothing has been begun that it would have broken off."""
    end = Stdin(t)
    missing = t.path("missing.torrent")
    proc = t.btget("-d", t.path("target"), missing, end.name, stdin=end.stdin)
    wait_for(lambda: missing in proc.err(), 20, "the failure", alive=[proc])
    proc.signal(signal.SIGTERM)
    proc.expect(3, 5)


def left_by_stall_timeout(t, slow):
    good = make(t, "good")
    # Long enough for the good one, too.
    limit = min(int(3 * SLOW), 50)
    proc = start(good, slow, "-q", "--stall-timeout", limit).expect(3, 60)
    good.check()
    why = "" if isinstance(slow, Url) else "cannot read: "
    assert proc.err() == "btget: %s: %sno data for %ds\n" % (
        slow.label, why, limit), proc.err()


def left_by_deadline(t, slow):
    good = make(t, "good")
    proc = start(good, slow, "--deadline", "%g" % (4 * SLOW)).expect(3, 20)
    good.check()
    assert proc.err().startswith("btget: %s: " % slow.label) and \
        proc.err().count("\n") == 1, proc.err()


def comes_late(t, slow):
    """And those that -P names are asked for it as well."""
    good, late = make(t, "good"), make(t, "late")
    where = late.tracker.static.pop()
    proc = start(good, slow, "-P", "%s:%d" % where)
    wait_done(good, proc)
    slow.say(late.torrent.raw, proc)
    proc.expect(0, 20)
    late.check()
    assert proc.err() == "", proc.err()


def comes_again(t, slow):
    good = make(t, "good")
    proc = start(good, slow, "--progress=json")
    wait_done(good, proc)
    slow.say(good.torrent.raw, proc)
    proc.expect(0, 20)
    assert len(events(proc, "start")) == len(events(proc, "complete")) == 1


def comes_for_a_link(t, slow):
    """That has looked for its metadata in vain so far."""
    late = make(t, "late")
    proc = t.btget("-d", late.target, "-p", "0", "--progress=json",
                   late.torrent.hex, slow.name,
                   **({"stdin": slow.stdin} if slow.stdin else {}))
    wait_for(lambda: [e for e in events(proc, "progress")
                      if e["state"] == "metadata"], 20, "the search",
             alive=[proc])
    slow.say(late.torrent.raw, proc)
    proc.expect(0, 20)
    late.check()
    assert proc.err() == "", proc.err()
    assert len(events(proc, "start")) == 1, proc.out()


def comes_with_a_tracker(t, slow):
    """While the same is downloaded from nobody."""
    good, late = make(t, "good"), Tracker(t, interval=60)
    late.static.append(good.tracker.static.pop())
    proc = start(good, slow, "-v")
    wait_for(lambda: good.tracker.announces, 20, "an announce", alive=[proc])
    meta = dict(good.torrent.meta)
    meta[b"announce"] = late.url.encode()
    slow.say(sample.bencode(meta), proc)
    proc.expect(0, 20)
    good.check()
    assert [a.event for a in late.announces] == \
        ["started", "completed", "stopped"], late.announces


def comes_spoilt(t, slow):
    good = make(t, "good")
    proc = start(good, slow, "--progress=json", "--on-error",
                 "echo $BTGET_EXIT >" + t.path("told"))
    wait_done(good, proc)
    slow.say(b"nonsense", proc)
    proc.expect(3, 20)
    assert proc.err().startswith("btget: %s: " % slow.label) and \
        proc.err().count("\n") == 1, proc.err()
    reason = proc.err().rstrip().split(": ", 2)[2]
    assert [e["text"] for e in events(proc, "warning")] == [reason]
    assert [(e["code"], e["reason"]) for e in events(proc, "exit")] == \
        [(3, reason)]
    with open(t.path("told")) as told:
        assert told.read() == "3\n"


test_term_leaves_a_url, test_term_leaves_stdin, test_term_leaves_a_fifo = \
    each(left_by_term)
test_a_url_stalls, test_stdin_stalls, test_a_fifo_stalls = \
    each(left_by_stall_timeout)
test_a_url_has_a_deadline, test_stdin_has_a_deadline, \
    test_a_fifo_has_a_deadline = each(left_by_deadline)
test_a_late_url_is_taken, test_late_stdin_is_taken, \
    test_a_late_fifo_is_taken = each(comes_late)
test_a_url_of_the_same_is_done_once, test_stdin_of_the_same_is_done_once, \
    test_a_fifo_of_the_same_is_done_once = each(comes_again)
test_a_url_is_taken_by_its_link, test_stdin_is_taken_by_its_link, \
    test_a_fifo_is_taken_by_its_link = each(comes_for_a_link)
test_a_url_brings_a_tracker, test_stdin_brings_a_tracker, \
    test_a_fifo_brings_a_tracker = each(comes_with_a_tracker)
test_a_url_of_nonsense_is_told, test_stdin_of_nonsense_is_told, \
    test_a_fifo_of_nonsense_is_told = each(comes_spoilt)


@test(quick=True)
def test_one_that_trickles_is_not_stalled(t):
    """Each byte is news."""
    late = make(t, "late")
    end = Stdin(t)
    proc = t.btget("-d", late.target, "-p", "0", "--stall-timeout",
                   "%g" % (3 * SLOW), "-", stdin=end.stdin)
    for at in range(8):
        os.write(end.end, late.torrent.raw[at:at + 1])
        time.sleep(0.5 * SLOW)
    end.say(late.torrent.raw[8:], proc)
    proc.expect(0, 20)
    late.check()


NOBODY = "no peer could be reached: no new data for %s"


def say_when_its_link_has_failed(late, proc, end, how=NOBODY, met=None):
    """Nobody knows what the link holds; each byte of the .torrent is news.
    Whom it has met is gone by then."""
    for at in range(200):
        if proc.err():
            break
        os.write(end.end, late.torrent.raw[at:at + 1])
        time.sleep(0.1 * SLOW)
    assert proc.err() == "btget: %s: %s\n" % (late.torrent.hex, how % STALL)
    if met:
        met.stop()
    end.say(late.torrent.raw[at:], proc)


# Long enough for what comes late, too.
STALL = "%ds" % min(int(3 * SLOW), 50)


@test(quick=True)
def test_what_its_link_has_failed_for_may_come_all_the_same(t):
    late = make(t, "late")
    end = Stdin(t)
    proc = t.btget("-d", late.target, "-p", "0", "--stall-timeout", STALL,
                   "--progress=json", "--on-error", "echo $BTGET_EXIT >>" +
                   t.path("told"), "--on-complete", "echo complete >>" +
                   t.path("told"), late.torrent.hex, "-", stdin=end.stdin)
    say_when_its_link_has_failed(late, proc, end)
    proc.expect(0, 20)
    late.check()
    assert proc.err().count("\n") == 1, proc.err()
    assert len(events(proc, "complete")) == 1, proc.out()
    assert [(e["code"], e["reason"]) for e in events(proc, "exit")] == \
        [(0, "complete")]
    with open(t.path("told")) as told:
        assert told.read() == "5\ncomplete\n"


@test(quick=True)
def test_what_its_link_has_failed_for_may_fail_as_well(t):
    late = make(t, "late")
    late.tracker.static.clear()
    end = Stdin(t)
    proc = t.btget("-d", late.target, "-p", "0", "--stall-timeout", STALL,
                   late.torrent.hex, "-", stdin=end.stdin)
    say_when_its_link_has_failed(late, proc, end)
    proc.expect(5, 20)
    assert proc.err().count("\n") == 2, proc.err()


def has_nothing(_, conn):
    conn.handshake(reserved=peer.EXTENSIONS)
    conn.send(peer.HAVE_NONE)
    while True:
        conn.message()


@test(quick=True)
def test_a_peer_that_its_link_has_met_was_there(t):
    late = make(t, "late")
    late.tracker.static.clear()
    met = peer.Peer(t, late.torrent, script=has_nothing)
    end = Stdin(t)
    proc = t.btget("-d", late.target, "-p", "0", "--stall-timeout", STALL,
                   "magnet:?xt=urn:btih:%s&x.pe=%s:%d" % (
                       late.torrent.hex, *met.where), "-", stdin=end.stdin)
    say_when_its_link_has_failed(
        late, proc, end, "incomplete: no new data for %s; run it again to "
        "resume", met)
    proc.expect(6, 20)
    assert proc.err().count("\n") == 2, proc.err()


@test()
def test_the_deadline_of_a_late_one_is_that_of_the_run(t):
    late, slow = make(t, "late"), Stdin(t)
    late.tracker.static.clear()
    began = time.monotonic()
    proc = t.btget("-d", late.target, "-p", "0", "--deadline",
                   "%g" % (6 * SLOW), "-", stdin=slow.stdin)
    wait_for(lambda: time.monotonic() - began > 4 * SLOW, 5)
    slow.say(late.torrent.raw, proc)
    proc.expect(5, 20)
    took = time.monotonic() - began
    assert 6 * SLOW < took < 9 * SLOW, took


@test(quick=True)
def test_many_that_hang_do_not_keep_one_that_does_not(t):
    """As many as are waited for at once, but for one."""
    good, late = make(t, "good"), make(t, "late")
    late.tracker.files["/it.torrent"] = late.torrent.raw
    mute = Url(t)
    proc = t.btget("-d", good.target, "-p", "0",
                   *["%s%d" % (mute.web.url, i) for i in range(7)],
                   late.tracker.base + "/it.torrent", good.file)
    wait_done(good, proc)
    wait_done(late, proc)
    proc.signal(signal.SIGTERM)
    proc.expect(143, 5)


@test(deadline=150)
def test_nobody_waits_longer_than_a_minute_for_a_fifo(t):
    """But for standard input, which may be somebody who types."""
    fifo, end = Fifo(t), Stdin(t)
    began = time.monotonic()
    bounded = [t.btget(*words, fifo.name)
               for words in (["-d", t.path("x")], ["show"],
                             ["check", "-d", t.path("x")])]
    typing = t.btget("-d", t.path("x"), "-", stdin=end.stdin)
    for proc in bounded:
        proc.expect(3, 75)
        assert time.monotonic() - began > 59
        assert proc.err() == "btget: %s: cannot read: no data for 1m00s\n" \
            % fifo.name, proc.err()
    assert typing.running()
    end.say(b"", typing)
    typing.expect(3, 5)


@test(quick=True)
def test_a_file_as_standard_input_comes_in_its_turn(t):
    first, second = make(t, "first"), make(t, "second")
    with open(first.file, "rb") as data:
        proc = t.run_btget("-d", first.target, "-p", "0", "--progress=json",
                           "-", second.file, stdin=data)
    assert [e["name"] for e in events(proc, "start")] == ["first", "second"]
    sample.assert_same(first.path, first.result)
