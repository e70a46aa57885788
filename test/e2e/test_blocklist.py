"""Goal: with an address of the blocklist nothing is ever exchanged, whoever
names it and whichever side connects."""
import re

import peer
import sample
import web
from harness import OFFLINE, SANITIZED, test, wait_for
from swarm import MIB, Scene


ONLINE = [one for one in OFFLINE if one != "--no-webseed"]


def write(t, text):
    return sample.write_file(t.path("blocked"), text.encode())


@test(quick=True)
def test_blocked_peers_are_not_dialled(t):
    scene = Scene(t, MIB)
    bad = scene.seed(host="127.0.0.2")
    given = scene.seed(host="127.0.0.3")
    scene.seed()
    path = write(t, "# mine\n127.0.0.2/32\nname:127.0.0.3-127.0.0.9\n")
    run = scene.download("--blocklist", path, "-P", "%s:%d" % given.where)
    scene.check()
    assert bad.connections == 0 and given.connections == 0
    assert run.err() == "btget: %s:%d is on the blocklist\n" % given.where, \
        run.err()


@test(quick=True)
def test_blocked_peers_are_not_let_in(t):
    scene = Scene(t, MIB)
    scene.plant(scene.target, range(scene.torrent.piece_count))
    path = write(t, "127.0.0.2\n")
    seed = t.seed(scene.file, scene.target, "--blocklist", path)
    where = "127.0.0.1", seed.port
    refused = peer.Dialer(t, scene.torrent, where, peer.good_leech,
                          host="127.0.0.2")
    wait_for(lambda: refused.ends, 10, "the end of the refused one")
    assert not refused.got
    fine = peer.Dialer(t, scene.torrent, where, peer.good_leech,
                       host="127.0.0.4")
    wait_for(fine.done.is_set, 20, "the download of the other one")


@test(quick=True)
def test_blocked_trackers_and_web_seeds_are_not_asked(t):
    """Their peers would be good."""
    scene = Scene(t, MIB, host="127.0.0.2")
    scene.seed()
    server = web.Web(t, scene.source, host="127.0.0.2")
    path = write(t, "127.0.0.2\n")
    for url in (scene.tracker.url, scene.tracker.udp_url):
        made = sample.make_torrent(scene.path, url,
                                   meta={"url-list": server.url})
        run = t.run_btget(*ONLINE, "-d", scene.target, "-p", "0",
                          "--blocklist", path, "--stall-timeout", "3s",
                          made.save(t.path("blocked.torrent")), code=5,
                          plain=True)
        assert "its address is on the blocklist" in run.err(), run.err()
    assert not scene.tracker.requests and not scene.tracker.announces
    assert not server.requests and not server.most_open


@test(quick=True)
def test_a_bad_list_ends_with_2(t):
    scene = Scene(t, MIB)
    path = write(t, "1.2.3.4\nnonsense\n")
    run = scene.download("--blocklist", path, code=2)
    assert run.err() == "btget: --blocklist: %s:2: 'nonsense' is no address, " \
        "network or range\n" % path, run.err()
    run = scene.download("--blocklist", "/nowhere", code=2)
    assert re.fullmatch("btget: --blocklist: cannot read '/nowhere': .*\n",
                        run.err())


@test(quick=True)
def test_a_few_bad_lines_of_a_long_list_are_left_out(t):
    scene = Scene(t, MIB)
    scene.seed()
    lines = ["192.0.2.%d" % i for i in range(200)]
    path = write(t, "\n".join(["1.2.3.4", "nonsense", "more"] + lines))
    run = scene.download("--blocklist", path)
    scene.check()
    assert run.err() == "btget: --blocklist: lines left out: 2, the first " \
        "is %s:2: 'nonsense' is no address, network or range\n" % path, \
        run.err()


@test()
def test_a_million_lines_cost_little(t):
    scene = Scene(t, MIB)
    scene.seed()
    lines = ["some name:%d.%d.%d.%d-%d.%d.%d.%d" % (
        (i >> 16) + 128, i >> 8 & 255, i & 255, 0,
        (i >> 16) + 128, i >> 8 & 255, i & 255, 99)
        for i in range(1000000)]
    path = write(t, "\n".join(lines))
    run = scene.download("--blocklist", path)
    scene.check()
    # 8 bytes each, twice that while it is sorted, and what else it needs.
    assert run.peak_kib > 0
    assert SANITIZED or run.peak_kib < 64 * 1024, run.peak_kib
