"""Goal: with --proxy everything goes through it that can, and nothing past
it; a proxy that fails or lies does no harm, and is told of in one line; and
nobody gets to see the password.

The servers are in a network that only the proxy's host leads to by name:
what leaves for anything but the proxy's port is a leak."""
import os
import subprocess

import sample
import tracker
from harness import BTGET, OFFLINE, SLOW, free_port, test, wait_for
from proxy import SOCKS5_EVIL, Http, Socks, drip, silent
from roads import SERVER, Road, Watch
from swarm import Scene
from web import Web

NEEDS = ("namespaces", "nsenter", "ip", "mount")
KIB = 1 << 10
USER, PASSWORD = "me@home", "s3cret:w@rd"
ENCODED = "me%40home:s3cret%3Aw%40rd"
NAMES = {"tracker.example": SERVER, "seed.example": SERVER,
         "web.example": SERVER}


class Far:
    """A road to a proxy, and to a name server that nobody must ask."""

    def __init__(self, t, kind=Socks, **more):
        self.t = t
        self.road = Road(t, "near0", 61)
        self.host = self.road.address(2)
        conf = t.path("resolv.conf")
        sample.write_file(conf, ("nameserver %s\noptions timeout:1 "
                                 "attempts:1\n" % self.host).encode())
        subprocess.run(["mount", "--bind", conf, "/etc/resolv.conf"],
                       check=True)
        t.at_end.append(lambda: subprocess.run(
            ["umount", "/etc/resolv.conf"], check=True))
        with self.road.inside():
            self.proxy = kind(t, self.host, names=NAMES, **more)
            self.scene = Scene(t, 512 * KIB, host=SERVER)
            self.seed = self.scene.seed(host=SERVER)
            self.web = Web(t, self.scene.source, host=SERVER)
        self.watch = Watch(t, "near0")

    def torrent(self, name="all.torrent", **more):
        """Trackers and web seeds by names that the proxy alone knows."""
        port = self.scene.tracker.port
        torrent = sample.make_torrent(
            self.scene.path,
            [["http://tracker.example:%d/announce" % port],
             ["udp://tracker.example:%d/announce" % port]],
            meta={"url-list": "http://web.example:%d/" % self.web.port,
                  "nodes": [["tracker.example", 6881]]}, **more)
        return torrent.save(os.path.join(self.scene.source, name))

    def leaks(self):
        """All that left but for the connections to the proxy."""
        return [p for p in self.watch.sent()
                if not (p.kind == "arp" and p.to == self.host) and
                not (p.kind == "tcp" and p.to == self.host and
                     p.port == self.proxy.where[1])]

    def no_leaks(self):
        assert self.watch.sent(kind="tcp"), "the watch sees nothing"
        assert not self.leaks(), self.leaks()[:5]


def url_of(proxy, kind="socks5", login=""):
    return "%s://%s%s" % (kind, login and login + "@", proxy.shown)


def start(t, scene, proxy_url, *args, torrent=None, **more):
    return t.btget("-v", "-d", scene.target, "--proxy", proxy_url, *args,
                   torrent or scene.file, plain=True, **more)


def listening():
    """Sockets of this network that something could come in by."""
    found = []
    for table in ("tcp", "tcp6", "udp", "udp6"):
        with open("/proc/net/" + table) as lines:
            for words in (line.split() for line in list(lines)[1:]):
                if table.startswith("udp") or words[3] == "0A":
                    found.append((table, words[1]))
    return found


def no_password(*texts):
    for text in texts:
        for word in ("s3cret", "s3cret:w@rd", ENCODED, "w%40rd"):
            assert word not in text, text


@test(deadline=90, needs=NEEDS, quick=True)
def test_all_goes_through_a_socks5_proxy(t):
    far = Far(t)
    far.torrent()
    url = "http://web.example:%d/all.torrent" % far.web.port
    proc = start(t, far.scene, url_of(far.proxy), "--seed-time", "1h",
                 torrent=url)
    wait_for(lambda: "seeding" in proc.out(), 40, "the download",
             alive=[proc])
    far.scene.check()
    wait_for(lambda: far.scene.tracker.of(far.scene.torrent, "completed"),
             20, "the tracker", alive=[proc])
    assert listening() == [], listening()
    proc.signal(15)
    proc.expect(143, 20)
    asked = set(far.proxy.asked)
    assert asked == {("web.example", far.web.port),
                     ("tracker.example", far.scene.tracker.port),
                     far.seed.where}, asked
    assert {a.kind for a in far.scene.tracker.announces} == {"http"}
    assert far.seed.connections > 0
    assert proc.err().count("no incoming connections") == 1, proc.err()
    far.no_leaks()


@test(deadline=60, needs=NEEDS, quick=True)
def test_peers_alone_by_name_and_with_a_login(t):
    far = Far(t, user=USER, password=PASSWORD)
    bare = sample.make_torrent(far.scene.path).save(t.path("bare.torrent"))
    log = t.path("btget.log")
    command = "cat /proc/$PPID/cmdline /proc/*/cmdline | tr '\\0' ' '; env"
    proc = start(t, far.scene, url_of(far.proxy, "socks5h", ENCODED), "-P",
                 "seed.example:%d" % far.seed.where[1], "-vv", "-l", log,
                 "--seed-time", "%g" % (4 * SLOW), "--on-complete", command, torrent=bare)
    wait_for(lambda: not proc.running() or "seeding" in proc.out(), 30,
             "the download")
    with open("/proc/%d/cmdline" % proc.pid) as words:
        shown = words.read()
    proc.expect(0, 30)
    far.scene.check()
    assert "socks5h://*" in shown, shown
    with open(log) as lines:
        no_password(shown, proc.out(), proc.err(), lines.read())
    assert "socks5h://*" in proc.out() + proc.err() + open(log).read()
    assert ("seed.example", far.seed.where[1]) in far.proxy.asked
    assert set(far.proxy.logins) == {(USER, PASSWORD)}, far.proxy.logins
    far.no_leaks()


@test(deadline=60, needs=NEEDS, quick=True)
def test_a_link_is_followed_through_it(t):
    far = Far(t)
    link = "magnet:?xt=urn:btih:%s&tr=%s&tr=%s&x.pe=%s" % (
        far.scene.torrent.hex, "udp://tracker.example:%d/announce" %
        far.scene.tracker.port, "http://tracker.example:%d/announce" %
        far.scene.tracker.port, "seed.example:7001")
    seed = far.road.spawn(
        [BTGET, *OFFLINE, "-d", far.scene.source, "-p", "7001",
         "--seed-time", "1h", far.scene.file], name="seed", is_btget=True)
    wait_for(lambda: "seeding" in seed.out(), 20, "the seed", alive=[seed])
    start(t, far.scene, url_of(far.proxy), torrent=link).expect(0, 40)
    far.scene.check()
    assert ("seed.example", 7001) in far.proxy.asked, far.proxy.asked
    far.no_leaks()


@test(deadline=60, needs=NEEDS, quick=True)
def test_it_looks_up_the_peers_that_a_tracker_names(t):
    far = Far(t)
    far.scene.tracker.script = tracker.fixed(sample.bencode({
        "interval": 60, "peers": [{"ip": "seed.example",
                                   "port": far.seed.where[1]}]}))
    start(t, far.scene, url_of(far.proxy), "--no-webseed",
          torrent=far.torrent()).expect(0, 40)
    far.scene.check()
    assert ("seed.example", far.seed.where[1]) in far.proxy.asked
    far.no_leaks()


@test(deadline=60, needs=NEEDS, quick=True)
def test_a_refused_login_is_one_line_and_5(t):
    far = Far(t, user=USER, password="another")
    torrent = far.torrent()
    for login in (ENCODED, ""):
        log = t.path("btget.log")
        proc = start(t, far.scene, url_of(far.proxy, login=login), "-l", log,
                     "-P", "%s:%d" % far.seed.where, "--stall-timeout", "%g" % (4 * SLOW),
                     "--progress", "json", torrent=torrent)
        proc.expect(5, 30)
        with open(log) as lines:
            text = lines.read()
        told = [one for one in proc.out().split("\n")
                if '"warning"' in one and '"text":"proxy ' in one]
        assert len(told) == 1, proc.out()
        assert "does not work" in proc.err(), proc.err()
        no_password(proc.out(), proc.err(), text)
    assert far.seed.connections == 0
    far.no_leaks()


@test(deadline=60, needs=NEEDS, quick=True)
def test_a_proxy_that_is_away_is_one_line_and_5(t):
    far = Far(t)
    torrent = far.torrent()
    with far.road.inside():
        nobody = free_port(far.host)
    proc = t.btget("-d", far.scene.target, "--proxy", "socks5://%s:%d" % (
        far.host, nobody), "--stall-timeout", "%g" % (4 * SLOW), "-P",
        "%s:%d" % far.seed.where, torrent, plain=True)
    proc.expect(5, 30)
    lines = [one for one in proc.err().split("\n") if "proxy" in one]
    told = [one for one in lines if one.startswith("btget: proxy ")]
    assert len(told) == 1, proc.err()
    assert "refused" in told[0] or "connect" in told[0], told
    assert far.seed.connections == 0
    sent = [p for p in far.watch.sent() if p.kind != "arp"]
    assert sent and all(p.kind == "tcp" and p.port == nobody
                        for p in sent), sent[:5]
    # And for the .torrent itself: it could not be read.
    proc = t.btget("-d", far.scene.target, "--proxy", "http://%s:%d" % (
        far.host, nobody), "http://web.example/x.torrent", plain=True)
    proc.expect(3, 30)
    assert proc.err().count("\n") == 1 and "the proxy" in proc.err(), \
        proc.err()


@test(deadline=120, needs=NEEDS, quick=True)
def test_hostile_proxies_do_no_harm(t):
    far = Far(t)
    torrent = far.torrent()
    procs = []
    for name, script in sorted(SOCKS5_EVIL.items()):
        with far.road.inside():
            evil = Socks(t, far.host, script=script)
        procs.append((evil, t.btget(
            "-d", t.folder(name), "--proxy", url_of(evil), "-P",
            "%s:%d" % far.seed.where, "--stall-timeout", "%g" % (6 * SLOW), torrent,
            plain=True, name=name)))
    for evil, proc in procs:
        proc.expect(5, 60)
        assert evil.connections > 0, proc.name
        # The dials rest after a failure: no hammering.
        assert evil.connections < 40 * SLOW, (proc.name, evil.connections)
        told = [one for one in proc.err().split("\n")
                if one.startswith("btget: proxy ")]
        assert len(told) == 1, (proc.name, proc.err())
    assert far.seed.connections == 0
    assert not far.watch.sent(kind="udp")


@test(deadline=120, needs=NEEDS)
def test_slow_proxies_have_a_deadline(t):
    far = Far(t)
    bare = sample.make_torrent(far.scene.path).save(t.path("bare.torrent"))
    procs = []
    for script in (silent, drip):
        with far.road.inside():
            evil = Socks(t, far.host, script=script)
        procs.append(t.btget("-v", "-d", t.folder(script.__name__),
                             "--proxy", url_of(evil), "-P",
                             "%s:%d" % far.seed.where, "--stall-timeout",
                             "45s", bare, plain=True))
    for proc in procs:
        proc.expect(5, 80)
    assert "it does not answer" in procs[0].err(), procs[0].err()
    assert "Connection timed out" in procs[1].err(), procs[1].err()


@test(deadline=60, needs=NEEDS, quick=True)
def test_a_proxy_that_comes_back_is_used_again(t):
    far = Far(t)
    bare = sample.make_torrent(far.scene.path).save(t.path("bare.torrent"))
    with far.road.inside():
        port = free_port(far.host)
    proc = t.btget("-d", far.scene.target, "--proxy", "socks5://%s:%d" % (
        far.host, port), "-P", "%s:%d" % far.seed.where, bare, plain=True)
    wait_for(lambda: "proxy" in proc.err(), 10, "the warning", alive=[proc])
    with far.road.inside():
        Socks(t, far.host, port=port)
    proc.expect(0, 40)
    far.scene.check()


@test(deadline=150, needs=NEEDS)
def test_a_proxy_that_has_moved_is_found_again(t):
    far = Far(t)
    bare = sample.make_torrent(far.scene.path).save(t.path("bare.torrent"))
    port = far.proxy.where[1]
    hosts = t.path("hosts")

    def move(where):
        with open(hosts, "w") as out:
            out.write("%s my.proxy\n" % where)

    move(SERVER)
    subprocess.run(["mount", "--bind", hosts, "/etc/hosts"], check=True)
    t.at_end.append(lambda: subprocess.run(["umount", "/etc/hosts"],
                                           check=True))
    proc = t.btget("-v", "-d", far.scene.target, "--proxy",
                   "socks5://my.proxy:%d" % port, "-P",
                   "%s:%d" % far.seed.where, bare, plain=True)
    wait_for(lambda: "refused" in proc.err(), 20, "the warning",
             alive=[proc])
    # Where it was looked for last counts until the name leads elsewhere.
    assert far.proxy.connections == 0
    move(far.host)
    proc.expect(0, 120)
    far.scene.check()


@test(deadline=60, needs=NEEDS)
def test_a_login_that_a_tracker_wants_is_not_the_proxys(t):
    far = Far(t)
    far.scene.tracker.script = tracker.fixed(b"who are you", 407)
    proc = start(t, far.scene, url_of(far.proxy), "-P", "%s:%d" %
                 far.seed.where, torrent=far.torrent())
    proc.expect(0, 40)
    assert far.scene.tracker.announces
    assert "btget: proxy " not in proc.err(), proc.err()
    assert "407" in proc.err(), proc.err()


@test(deadline=90, needs=NEEDS, quick=True)
def test_http_goes_through_an_http_proxy(t):
    far = Far(t, kind=Http, user=USER, password=PASSWORD)
    far.torrent()
    url = "http://web.example:%d/all.torrent" % far.web.port
    proc = start(t, far.scene, url_of(far.proxy, "http", ENCODED),
                 "--no-dht", "--no-lsd", "--no-portmap", "--seed-time", "1h",
                 torrent=url)
    wait_for(lambda: "seeding" in proc.out(), 40, "the download",
             alive=[proc])
    far.scene.check()
    wait_for(lambda: far.scene.tracker.of(far.scene.torrent, "completed") and
             far.seed.connections, 20, "the tracker and the peer",
             alive=[proc])
    proc.signal(15)
    proc.expect(143, 20)
    assert set(far.proxy.asked) == {
        ("web.example", far.web.port),
        ("tracker.example", far.scene.tracker.port)}, far.proxy.asked
    assert {a.kind for a in far.scene.tracker.announces} == {"http"}
    # Peers do not go through it; nothing else goes past it.
    past = {(p.kind, p.port) for p in far.leaks() if p.kind != "arp"}
    assert past == {("tcp", far.seed.where[1])}, past
    no_password(proc.out(), proc.err())


@test(deadline=60, needs=NEEDS)
def test_a_login_that_an_http_proxy_refuses_is_told(t):
    far = Far(t, kind=Http, user=USER, password="another")
    torrent = sample.make_torrent(
        far.scene.path, "http://tracker.example:%d/announce" %
        far.scene.tracker.port).save(t.path("one.torrent"))
    for login, why in ((ENCODED, "refuses the user name"),
                       ("", "wants a user name")):
        proc = t.btget(*OFFLINE, "-d", far.scene.target, "--proxy", url_of(
            far.proxy, "http", login), "--stall-timeout", "%g" % (3 * SLOW), torrent,
            plain=True)
        proc.expect(5, 30)
        told = [one for one in proc.err().split("\n")
                if one.startswith("btget: proxy ")]
        assert len(told) == 1 and why in told[0], proc.err()
        no_password(proc.err())
    assert not far.scene.tracker.announces


@test(deadline=60, needs=NEEDS)
def test_the_environment_has_no_say(t):
    far = Far(t)
    t.env.update({name: "http://%s:%d" % far.proxy.where for name in
                  ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY")})
    t.btget(*OFFLINE, "-d", far.scene.target, far.scene.file,
            plain=True).expect(0, 40)
    assert far.proxy.connections == 0 and far.scene.tracker.announces


@test(deadline=60, needs=NEEDS)
def test_a_proxy_in_the_config_file(t):
    far = Far(t, user=USER, password=PASSWORD)
    config = t.path("config")
    sample.write_file(config, ("proxy = %s\ninterface = near0\n" % url_of(
        far.proxy, login=ENCODED)).encode())
    proc = t.btget("--config", config, "-v", "-d", far.scene.target,
                   far.torrent(), plain=True)
    proc.expect(0, 40)
    far.scene.check()
    no_password(proc.out(), proc.err())
    far.no_leaks()


@test(deadline=30, quick=True)
def test_bad_values_are_usage_errors(t):
    scene = Scene(t, 64 * KIB)
    for url in ("", "127.0.0.1:1080", "socks4://127.0.0.1:1",
                "socks5://127.0.0.1", "socks5://u:s3cret@127.0.0.1:0",
                "ftp://u:s3cret@h:1", "http://u:s3cret%@h:1"):
        proc = t.btget("--proxy", url, "-d", scene.target, scene.file)
        proc.expect(2, 10)
        no_password(proc.err())
        assert proc.err().startswith("btget: --proxy: "), proc.err()
        assert proc.err().count("\n") == 1, proc.err()
