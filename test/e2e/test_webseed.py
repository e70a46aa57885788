"""Goal: data comes from web servers as well as from peers, alone or beside
them, and the faster one gives more; what a server does wrong costs little and never spoils the data; and a
torrent cannot use us to reach into the local network."""
import os
import threading
import re
import signal
import socket
import subprocess
import time
import urllib.parse

import peer
import sample
from harness import OFFLINE, SLOW, free_port, steadily, test, wait_for
from swarm import MIB, Scene
from web import Nginx, Web

ONLINE = [word for word in OFFLINE if word != "--no-webseed"]
# Long enough to find a server, and to be given what it has.
STALL = "%g" % (3 * SLOW)


class WebScene(Scene):
    """A Scene whose torrent names web seeds; made in two steps, since a URL
    is known only once its server runs."""

    def __init__(self, t, size=4 * MIB, files=None, **more):
        super().__init__(t, size, files, **more)
        self.made = more

    def name(self, *urls):
        """Puts the URLs into the torrent."""
        meta = dict(self.torrent.meta)
        meta[b"url-list"] = list(urls)
        self.torrent = sample.Torrent(sample.bencode(meta))
        self.file = self.torrent.save(self.file)

    def start(self, *args, **options):
        return self.t.btget(*ONLINE, "-d", self.target, "-p", "0", *args,
                            self.file, plain=True, **options)


def scripted(t, scene, script, path=""):
    server = Web(t, scene.source, script)
    scene.name(server.url + path)
    return server


@test(deadline=180, needs=("namespaces", "mount"))
def test_one_that_is_mute_over_ipv6_is_asked_over_ipv4(t):
    """As where packets that are too large for a tunnel are lost."""
    scene = WebScene(t, MIB)
    web = Web(t, scene.source)
    mute = socket.socket(socket.AF_INET6)
    mute.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    mute.bind(("::1", web.port))
    mute.listen(16)
    hosts = sample.write_file(t.path("hosts"), b"127.0.0.1 both.lan\n"
                              b"::1 both.lan\n")
    subprocess.run(["mount", "--bind", hosts, "/etc/hosts"], check=True)
    url = web.url.replace("127.0.0.1", "both.lan")
    scene.name(url)
    scene.download(seconds=70)
    scene.check()
    # There it bites sooner; and over IPv4 nobody speaks TLS here.
    scene.target = t.path("other")
    scene.name(url.replace("http", "https"))
    proc = scene.start("-v")
    wait_for(lambda: "wrong version" in proc.err(), 60, "a try over IPv4",
             alive=[proc])
    proc.signal(signal.SIGTERM)
    proc.expect(143)
    mute.close()


@test(needs="nginx", quick=True)
def test_nginx_alone_gives_a_file(t):
    scene = WebScene(t, 8 * MIB + 12345)
    server = Nginx(t, scene.source)
    scene.name(server.url)
    scene.download()
    scene.check()
    wait_for(lambda: sum(r[2] for r in server.requests()) ==
             8 * MIB + 12345, 5, "every byte fetched once")
    assert {r[1] for r in server.requests()} == {206}
    assert len(server.requests()) < 8, server.requests()


@test(needs="nginx", quick=True)
def test_nginx_alone_gives_a_folder(t):
    """Odd names, empty files, several files in a piece."""
    scene = WebScene(t, files=sample.ODD_TREE)
    server = Nginx(t, scene.source)
    scene.name(server.url)
    scene.download()
    scene.check()
    for path, _, _ in server.requests():
        assert "empty" not in path, path


@test(needs=("nginx", "libtorrent"))
def test_padding_is_never_asked_for(t):
    folder = t.folder("source")
    sample.make_tree(os.path.join(folder, "data"), (
        ("a", 100000), ("b", 70000), ("c/d", 1), ("e", 3 * MIB)))
    made = sample.make_torrent_by_libtorrent(
        os.path.join(folder, "data"), os.path.join(folder, "data.torrent"),
        "hybrid")
    server = Nginx(t, folder)
    with open(made, "rb") as file:
        meta = sample.bdecode(file.read())
    meta[b"url-list"] = server.url
    sample.write_file(made, sample.bencode(meta))
    t.run_btget(*ONLINE, "-d", t.path("target"), "-p", "0", made, plain=True)
    sample.assert_same(os.path.join(folder, "data"), t.path("target", "data"))
    size = sum(os.path.getsize(t.path("target", "data", name))
               for name in ("a", "b", "c/d", "e"))
    wait_for(lambda: sum(r[2] for r in server.requests()) >= size, 5,
             "every byte fetched")
    assert {r[1] for r in server.requests()} == {206}, server.requests()


@test(needs="nginx")
def test_beside_a_peer_both_give(t):
    scene = WebScene(t, 24 * MIB)
    server = Nginx(t, scene.source, more="limit_rate 2m;")
    scene.name(server.url)
    seed = scene.seed()
    scene.download(seconds=30)
    scene.check()
    assert seed.sent > MIB, seed.sent
    wait_for(lambda: sum(r[2] for r in server.requests()) > MIB, 5,
             "as much from the server")


@test(needs="nginx")
def test_nginx_that_is_slow_gives_all_of_it_alone(t):
    scene = WebScene(t, 3 * MIB)
    server = Nginx(t, scene.source, more="limit_rate 700k;")
    scene.name(server.url)
    scene.download("--stall-timeout", "20s")
    scene.check()
    wait_for(lambda: sum(r[2] for r in server.requests()) == 3 * MIB, 5,
             "every byte fetched once")


@test(needs="nginx")
def test_nginx_that_is_slow_leaves_most_to_a_peer(t):
    scene = WebScene(t, 8 * MIB)
    server = Nginx(t, scene.source, more="limit_rate 40k;")
    scene.name(server.url)

    def wait_first(one, conn):
        wait_for(lambda: server.connections() > 0, 20, "web seed at work")
        peer.good_seed(one, conn)

    seed = scene.seed(wait_first)
    started = time.monotonic()
    scene.download()
    scene.check()
    assert seed.sent > 7 * MIB and time.monotonic() - started < 30


@test(needs="nginx", quick=True)
def test_nginx_without_ranges_gives_all_of_a_file(t):
    scene = WebScene(t, 6 * MIB)
    server = Nginx(t, scene.source, more="max_ranges 0;")
    scene.name(server.url)
    scene.download()
    scene.check()
    wait_for(lambda: (200, 6 * MIB) in [r[1:] for r in server.requests()],
             5, "all of it at once")


@test(needs="nginx")
def test_nginx_without_ranges_beside_a_peer(t):
    """Whatever of the whole file is wanted is taken from it."""
    scene = WebScene(t, 16 * MIB)
    server = Nginx(t, scene.source, more="max_ranges 0; limit_rate 4m;")
    scene.name(server.url)
    seed = scene.slow_seed(0.02)
    scene.download()
    scene.check()
    wait_for(server.requests, 5, "requests")
    assert seed.requests and seed.sent < 15 * MIB, seed.sent


@test(needs="nginx")
def test_nginx_at_full_speed_with_one_wrong_byte(t):
    """Far enough behind the start that another core hashes as well: the
    piece is not taken, what was right is kept, and the server is left."""
    scene = WebScene(t, 96 * MIB, piece_length=MIB)
    content = bytearray(scene.content)
    content[80 * MIB + 4711] ^= 1
    folder = t.folder("wrong")
    sample.write_file(os.path.join(folder, "data.bin"), bytes(content))
    server = Nginx(t, folder)
    scene.name(server.url)
    done = scene.download("--stall-timeout", STALL, code=6)
    assert "bad data" in done.err(), done.err()
    seed = scene.seed()
    scene.download("--no-webseed")
    scene.check()
    assert seed.sent < 48 * MIB, seed.sent


@test(quick=True)
def test_a_slow_one_does_not_hold_the_end(t):
    scene = WebScene(t, 8 * MIB)
    server = scripted(t, scene, lambda r, path, first, last, data:
                      (r.head(first, last, len(data)),
                       r.slowly(data[first:last + 1], 20000)))
    seen = []

    def wait_first(one, conn):
        wait_for(lambda: server.sent > 0, 20, "web seed at work")
        seen.append(True)
        peer.good_seed(one, conn)

    scene.seed(wait_first)
    started = time.monotonic()
    scene.download()
    scene.check()
    assert seen and time.monotonic() - started < 25


def like_tcp(request, data):
    """Twice as much in each quarter of a second, as over a long path."""
    at, step = 0, 2048
    while at < len(data):
        request.send(data[at:at + step])
        at, step = at + step, 2 * step
        if request.server.web.ending.wait(0.25):
            break


@test()
def test_one_that_begins_slowly_is_not_broken_off(t):
    def run():
        scene = WebScene(t, MIB)
        server = scripted(t, scene, lambda r, path, first, last, data:
                          (r.head(first, last, len(data)),
                           like_tcp(r, data[first:last + 1])))
        scene.download()
        scene.check()
        assert len(server.requests) == 1, server.requests
        # It counts what has gone.
        wait_for(lambda: server.sent >= MIB, 10, "all of it")
        assert server.sent == MIB
    steadily(run)


def far_away(server, trip_s=0.04):
    """Each answer takes a round trip."""
    server.ending.wait(trip_s)


SMALL = tuple(("f%03d" % i, 5000) for i in range(240))


@test()
def test_many_small_files_come_over_several_connections(t):
    scene = WebScene(t, files=SMALL)
    server = scripted(t, scene, lambda *args: far_away(server) or False)
    scene.download()
    scene.check()
    # One that was closed for another may still look open.
    assert 2 <= server.most_open <= 8, server.most_open
    # Where a block lies in four files, all of these are asked for parts.
    assert len(server.requests) <= 2 * len(SMALL), len(server.requests)


@test()
def test_a_place_is_kept_for_one_that_comes_back(t):
    scene = WebScene(t, files=SMALL)
    other = Web(t, scene.source, lambda r, *args:
                r.plain(503, Retry_After="2"))
    server = Web(t, scene.source, lambda *args: far_away(server) or False)
    scene.name(server.url, other.url)
    done = scene.download("-v")
    scene.check()
    assert server.most_open > 1, server.most_open
    begun = re.findall(r"web seed http://[^/]*:%d/: begins" % other.port,
                       done.err() + done.out())
    assert len(begun) > 1, begun


@test()
def test_one_that_takes_one_connection_has_no_more(t):
    scene = WebScene(t, files=SMALL[:100])
    served = [None]
    refused = []

    def script(request, path, first, last, data):
        far_away(server)
        if served[0] not in server.open:
            served[0] = request.client_address
        if request.client_address == served[0]:
            return False
        refused.append(path)
        return request.plain(503, b"one at a time")

    server = scripted(t, scene, script)
    scene.download()
    scene.check()
    assert 1 <= len(refused) <= 6, refused


@test()
def test_a_large_file_comes_over_one_connection(t):
    def run():
        scene = WebScene(t, 24 * MIB)
        server = scripted(t, scene, lambda r, path, first, last, data:
                          far_away(server, 0.01) or
                          (r.head(first, last, len(data)),
                           r.slowly(data[first:last + 1], 12e6, 65536)))
        scene.download()
        scene.check()
        assert server.most_open == 1, server.most_open
    steadily(run)


@test()
def test_one_that_ignores_ranges_gives_all_of_a_file(t):
    scene = WebScene(t, 6 * MIB)
    server = scripted(t, scene, lambda r, path, first, last, data:
                      r.plain(200, data))
    scene.download()
    scene.check()
    assert server.requests[-1][2] is None, server.requests


@test()
def test_one_that_ignores_ranges_beside_a_peer(t):
    scene = WebScene(t, files=(("large", 6 * MIB), ("small", 1000)))
    server = scripted(t, scene, lambda r, path, first, last, data:
                      r.plain(200, data))

    def wait_first(one, conn):
        wait_for(lambda: server.requests, 20, "a request")
        peer.good_seed(one, conn)

    scene.seed(wait_first)
    scene.download()
    scene.check()


@test()
def test_one_that_ignores_ranges_rests_while_a_peer_has_the_rest(t):
    """All of the file again would bring nothing."""
    scene = WebScene(t, 6 * MIB)
    server = scripted(t, scene, lambda r, path, first, last, data:
                      r.plain(200, data))
    asked = threading.Event()
    server.script = lambda r, *more: asked.wait(20) and r.plain(200, more[-1])

    def slow(one, conn):
        peer.greet(one, conn)

        def answer(index, begin, length):
            asked.set()
            if len(one.requests) == 1:
                conn.linger(6)
            return one.block(index, begin, length)
        peer.serve(one, conn, answer)
    scene.seed(slow)
    scene.download()
    scene.check()
    assert len(server.requests) <= 3, server.requests


@test(quick=True)
def test_wrong_data_alone_is_never_taken(t):
    scene = WebScene(t, 4 * MIB)
    server = scripted(t, scene, lambda r, path, first, last, data:
                      r.part(first, last, bytes(len(data))))
    done = scene.download("--stall-timeout", STALL, code=6)
    assert not os.path.exists(scene.result)
    assert len(server.requests) == 1, server.requests
    assert server.sent < 3 * MIB, server.sent
    assert "bad data" in done.err(), done.err()


@test()
def test_wrong_data_beside_a_peer_costs_little(t):
    scene = WebScene(t, 8 * MIB)
    server = scripted(t, scene, lambda r, path, first, last, data:
                      r.part(first, last, bytes(len(data))))

    def wait_first(one, conn):
        wait_for(lambda: server.sent > 0, 20, "bad data")
        peer.good_seed(one, conn)

    scene.seed(wait_first)
    scene.download()
    scene.check()
    assert len(server.requests) <= 2, server.requests


@test(quick=True)
def test_a_file_that_is_another_one_there_is_left_out(t):
    """The others come from there, and nobody is asked for that one again."""
    scene = WebScene(t, files=(("a", 2 * MIB), ("b", 2 * MIB),
                               ("c", 2 * MIB)))
    server = scripted(t, scene, lambda r, path, first, last, data:
                      r.part(first, last, bytes(len(data)))
                      if path.endswith("/b") else False)
    done = scene.download("--stall-timeout", STALL, code=6)
    assert "is left alone with that file" in done.err(), done.err()
    for name in "ac":
        with open(os.path.join(scene.part, name), "rb") as mine:
            with open(os.path.join(scene.path, name), "rb") as other:
                assert mine.read() == other.read(), name
    asked = [r for r in server.requests if r[1].endswith("/b")]
    assert len(asked) <= 2, asked


@test(quick=True)
def test_in_order_one_goes_on_where_it_stopped(t):
    """In the middle of a piece, mostly."""
    def run():
        scene = WebScene(t, 24 * MIB,
                         piece_length=3 * MIB // 2 // 16384 * 16384)
        server = scripted(t, scene, lambda r, path, first, last, data: False)
        scene.download("--sequential")
        scene.check()
        ranges = [r[2:] for r in server.requests]
        assert len(ranges) > 2, ranges
        for (_, last), (first, _) in zip(ranges, ranges[1:]):
            assert first == last + 1, ranges
    steadily(run)


@test(quick=True)
def test_not_found_alone_is_5(t):
    scene = WebScene(t, MIB)
    server = scripted(t, scene, None, "nowhere.bin")
    done = scene.download("--stall-timeout", STALL, code=5)
    assert len(server.requests) == 1, server.requests
    assert len(done.err().splitlines()) == 1, done.err()


@test()
def test_a_file_that_is_missing_comes_from_a_peer(t):
    scene = WebScene(t, files=(("a", 2 * MIB), ("b", 2 * MIB),
                               ("c", 2 * MIB)))
    server = scripted(t, scene, lambda r, path, first, last, data:
                      r.plain(404) if path.endswith("/b") else False)

    def wait_first(one, conn):
        wait_for(lambda: server.sent > 3.5 * MIB, 20, "the other files")
        peer.good_seed(one, conn)

    scene.seed(wait_first)
    scene.download()
    scene.check()
    asked = [r for r in server.requests if r[1].endswith("/b")]
    assert len(asked) == 1, asked


@test(quick=True)
def test_one_that_has_given_all_but_a_missing_file_rests(t):
    """It ends, and so has its turn again: for good it would never be asked
    for that file."""
    scene = WebScene(t, files=(("a", MIB), ("b", MIB), ("c", MIB)))
    scripted(t, scene, lambda r, path, first, last, data:
             r.plain(404) if path.endswith("/b") else False)
    proc = scene.start("-v", "--seed-time=0")
    wait_for(lambda: "ends: the server answered 404" in proc.err(), 15,
             "end of it", alive=[proc])
    proc.signal(15)
    proc.expect(143)


@test(quick=True)
def test_a_busy_one_is_asked_again_when_it_wants(t):
    scene = WebScene(t, 2 * MIB)
    answers = []

    def busy(request, path, first, last, data):
        answers.append(time.monotonic())
        if len(answers) > 1:
            return False
        return request.plain(503, b"later", Retry_After="3")

    scripted(t, scene, busy)
    scene.download()
    scene.check()
    assert answers[1] - answers[0] >= 2.9, answers


@test()
def test_a_busy_one_for_ever_is_6(t):
    scene = WebScene(t, MIB)
    server = scripted(t, scene, lambda r, path, first, last, data:
                      r.plain(503, b"later", Retry_After="1"))
    scene.download("--stall-timeout", "%g" % (4 * SLOW), code=6)
    assert 1 < len(server.requests) < 5, server.requests


class PieceServer:
    """What answers at a URL of BEP 17: pieces by number, to whoever names the
    info hash; busy at first."""

    def __init__(self, scene, busy=1, data=None):
        self.torrent = scene.torrent
        self.data = scene.content if data is None else data
        self.busy = busy
        self.refused = 0
        self.asked = []         # (piece, first, last), as they were answered
        self.at = []            # when

    def __call__(self, request, path, first, _last, _data):
        query = urllib.parse.urlsplit(request.path).query
        asked = dict(urllib.parse.parse_qsl(query, encoding="latin-1"))
        if path != "seed.php" or first is not None or \
                asked.get("info_hash", "").encode("latin-1") != \
                self.torrent.info_hash:
            self.refused += 1
            request.plain(400, b"what?")
            return
        self.at.append(time.monotonic())
        if len(self.at) <= self.busy:
            request.plain(503, b"2")
            return
        piece, size = int(asked["piece"]), self.torrent.piece_length
        data = self.data[piece * size:(piece + 1) * size]
        span = re.fullmatch(r"(\d+)-(\d+)",
                            asked.get("ranges", "0-%d" % (len(data) - 1)))
        self.asked.append((piece, int(span[1]), int(span[2])))
        request.plain(200, data[int(span[1]):int(span[2]) + 1])


def by_piece(t, scene, **options):
    pieces = PieceServer(scene, **options)
    server = Web(t, t.folder("nothing"), pieces)
    meta = dict(scene.torrent.meta)
    meta[b"httpseeds"] = [server.url + "seed.php"]
    scene.torrent = sample.Torrent(sample.bencode(meta))
    scene.file = scene.torrent.save(scene.file)
    return pieces


@test(quick=True)
def test_a_server_of_pieces_gives_a_folder(t):
    """BEP 17, with pieces that several files share."""
    scene = WebScene(t, files=(("a", 100000), ("b", 1), ("c/d", 2 * MIB)))
    pieces = by_piece(t, scene)
    scene.download()
    scene.check()
    assert sorted(piece for piece, _, _ in pieces.asked) == \
        list(range(scene.torrent.piece_count)), pieces.asked
    # It said that it was busy, and when to come again.
    assert pieces.at[1] - pieces.at[0] > 1.5, pieces.at


@test()
def test_a_server_of_pieces_beside_a_peer(t):
    scene = WebScene(t, 8 * MIB)
    pieces = by_piece(t, scene, busy=0)

    def wait_first(one, conn):
        wait_for(lambda: pieces.asked, 20, "a piece")
        peer.good_seed(one, conn)

    scene.seed(wait_first)
    scene.download()
    scene.check()


@test(quick=True)
def test_wrong_pieces_are_never_taken(t):
    scene = WebScene(t, 2 * MIB)
    pieces = by_piece(t, scene, busy=0, data=bytes(2 * MIB))
    done = scene.download("--stall-timeout", STALL, code=6)
    assert not os.path.exists(scene.result)
    assert "bad data" in done.err(), done.err()
    assert pieces.asked


@test()
def test_a_url_that_lies_by_one_way_is_left_alone_by_that_one(t):
    """It is in both lists; as a server of pieces it knows nothing of them,
    and gives what it has."""
    scene = WebScene(t, 2 * MIB)
    lies = []

    def script(request, path, first, last, data):
        if "piece=" in request.path:
            lies.append(True)
            request.plain(200, bytes(scene.torrent.piece_length))
            return
        wait_for(lambda: lies, 20, "a lie")
        request.part(first, last, data)

    server = Web(t, scene.source, script)
    scene.name(server.url + "data.bin")
    meta = dict(scene.torrent.meta)
    meta[b"httpseeds"] = [server.url + "data.bin"]
    scene.torrent = sample.Torrent(sample.bencode(meta))
    scene.file = scene.torrent.save(scene.file)
    scene.download("--stall-timeout", "10s")
    scene.check()


@test(quick=True)
def test_a_server_of_other_pieces_is_left_alone(t):
    scene = WebScene(t, MIB)
    pieces = by_piece(t, scene)
    pieces.torrent.info_hash = bytes(20)
    scene.download("--stall-timeout", STALL, code=5)
    assert pieces.refused == 1


@test()
def test_an_unreachable_one_is_5(t):
    scene = WebScene(t, MIB)
    scene.name("http://127.0.0.1:%d/" % free_port())
    scene.download("--stall-timeout", "2s", code=5)


@test()
def test_a_redirect_is_followed_and_remembered(t):
    scene = WebScene(t, 8 * MIB)
    target = Web(t, scene.source)
    server = scripted(t, scene, lambda r, path, first, last, data:
                      r.plain(302, Location=target.url + path))
    scene.download()
    scene.check()
    assert len(server.requests) == 1, server.requests
    assert len(target.requests) > 1


@test()
def test_a_redirect_holds_for_the_other_files(t):
    scene = WebScene(t, files=SMALL[:40])
    target = Web(t, scene.source)
    server = scripted(t, scene, lambda r, path, first, last, data:
                      r.plain(302, Location=target.url + path))
    scene.download()
    scene.check()
    # One for each connection that there may be.
    assert len(server.requests) <= 6, server.requests
    assert len(target.requests) >= 40


@test()
def test_files_may_have_moved_to_different_places(t):
    scene = WebScene(t, files=SMALL[:40])

    def half(odd):
        def script(request, path, first, last, data):
            return int(path[-3:]) % 2 != odd and request.plain(404)
        return Web(t, scene.source, script)

    places = half(0), half(1)
    server = scripted(t, scene, lambda r, path, first, last, data:
                      r.plain(302, Location=places[int(path[-3:]) % 2].url +
                              path))
    scene.download()
    scene.check()
    assert len(server.requests) >= 39, server.requests


@test(needs=("namespaces", "ip"), quick=True)
def test_nobody_outside_leads_us_inside(t):
    """A redirect from a public address, and a name would be the same."""
    t.run(["ip", "address", "add", "198.51.100.7/32", "dev", "lo"])
    scene = WebScene(t, MIB)
    inside = Web(t, scene.source)
    outside = Web(t, scene.source, lambda r, path, first, last, data:
                  r.plain(302, Location=inside.url + path), "198.51.100.7")
    scene.name(outside.url)
    scene.download("--stall-timeout", STALL, code=5)
    assert outside.requests and not inside.requests
    outside.script = None
    scene.download()
    scene.check()


@test(quick=True)
def test_a_query_is_not_sent_to_a_local_host(t):
    scene = WebScene(t, MIB)
    server = scripted(t, scene, None, "data.bin?reboot=now")
    scene.download("--stall-timeout", "2s", code=5)
    assert not server.requests


@test()
def test_one_that_breaks_off_is_gone_on_with(t):
    scene = WebScene(t, 4 * MIB)

    def half(request, path, first, last, data):
        request.head(first, last, len(data))
        request.send(data[first:min(last + 1, first + 300000)])
        request.close_connection = True

    server = scripted(t, scene, half)
    started = time.monotonic()
    scene.download()
    scene.check()
    assert server.sent < 7 * MIB, server.sent
    assert time.monotonic() - started < 20


@test()
def test_the_download_limit_holds(t):
    scene = WebScene(t, 4 * MIB)
    scripted(t, scene, None)
    started = time.monotonic()
    scene.download("--down-limit", "1M")
    took = time.monotonic() - started
    scene.check()
    assert 3 < took < 10, took


@test(quick=True)
def test_term_ends_it_at_once_and_the_rerun_goes_on(t):
    scene = WebScene(t, 6 * MIB)

    def silent(request, path, first, last, data):
        request.head(first, last, len(data))
        request.send(data[first:min(last + 1, 3 * MIB)])
        if last >= 3 * MIB:
            request.server.web.ending.wait(30)

    server = scripted(t, scene, silent)
    proc = scene.start()
    wait_for(lambda: server.sent >= 3 * MIB, 20, "half of it", alive=[proc])
    time.sleep(0.5)
    asked = time.monotonic()
    proc.signal(signal.SIGTERM)
    proc.expect(143, 10)
    assert time.monotonic() - asked < 3 * SLOW
    server.script = None
    before = server.sent
    scene.download()
    scene.check()
    assert server.sent - before < 4 * MIB, server.sent - before


@test()
def test_several_share_the_work(t):
    scene = WebScene(t, 16 * MIB)

    def slowly(request, path, first, last, data):
        request.head(first, last, len(data))
        request.slowly(data[first:last + 1], 3 * MIB, 65536)

    servers = [Web(t, scene.source, slowly) for _ in range(3)]
    scene.name(*[s.url for s in servers])
    scene.download()
    scene.check()
    assert min(s.sent for s in servers) > 2 * MIB, [s.sent for s in servers]


@test()
def test_no_webseed_means_none(t):
    scene = WebScene(t, MIB)
    server = scripted(t, scene, None)
    scene.download("--no-webseed", "--stall-timeout", "2s", code=5)
    assert not server.requests


@test(needs="nginx")
def test_a_links_web_seed_gives_the_data(t):
    """The peer gives the metadata and nothing else."""
    scene = WebScene(t, 4 * MIB)
    server = Nginx(t, scene.source)
    seed = t.seed(scene.file, scene.source, "--up-limit", "10K")
    t.run_btget(*ONLINE, "-d", scene.target, "-p", "0",
                "-P", "127.0.0.1:%d" % seed.port,
                "magnet:?xt=urn:btih:%s&ws=%s" % (
                    scene.torrent.hex, server.url + "data.bin"), plain=True)
    scene.check()
    wait_for(lambda: sum(r[2] for r in server.requests()) > 3 * MIB, 5,
             "most of it from there")
