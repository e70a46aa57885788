"""rivals: btget, the floor and the clients of others, each at its best.

A client knows how to get() and how to seed(): both return a Start, the words
to run and how its end shows: by ending, or by a file that it makes.
"""
import json
import os
import pty
import shutil
import subprocess
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
SYSTEM_PYTHON = "/usr/bin/python3"
CLIENT_PORT = 7100


class Start:
    def __init__(self, words, done=None, **options):
        self.words = [str(w) for w in words]
        self.done = done        # a file; None: it ends by itself
        self.options = options
        self.close = lambda: None


class Floor:
    """It talks to one peer, whatever the case."""
    name = "floor"

    def __init__(self, bench):
        self.bench = bench
        self.there = True

    def get(self, torrent, folder, peers):
        return Start([self.bench.tool("floor"), "get", *torrent.words(),
                      "host=" + self.bench.seeder, "port=%d" %
                      self.bench.port, "out=" +
                      os.path.join(folder, torrent.name)])

    def seed(self, torrent, folder, peers):
        return Start([self.bench.tool("blaster"), "seed", *torrent.words(),
                      "port=%d" % CLIENT_PORT, "data=" +
                      os.path.join(folder, torrent.name)])


OFFLINE = ["--no-dht", "--no-lsd", "--no-portmap", "--no-utp", "--no-pex",
           "--no-webseed", "--encryption=off"]


class Btget:
    name = "btget"

    def __init__(self, bench):
        self.bench = bench
        self.there = True
        self.program = bench.args.btget

    def base(self, torrent, folder, peers):
        return [self.program, "-q", *OFFLINE, "-d", folder, "-p",
                CLIENT_PORT, "--max-peers", max(peers + 8, 100)]

    def get(self, torrent, folder, peers):
        return Start(self.base(torrent, folder, peers) + [torrent.file])

    def seed(self, torrent, folder, peers):
        return Start(self.base(torrent, folder, peers) +
                     ["--seed-time", "1h", torrent.file])


class Aria2:
    name = "aria2"

    def __init__(self, bench):
        self.bench = bench
        self.there = shutil.which("aria2c")

    def base(self, torrent, folder, peers):
        return ["aria2c", "--no-conf", "--enable-dht=false",
                "--enable-dht6=false", "--bt-enable-lpd=false",
                "--enable-peer-exchange=false", "--disable-ipv6=true",
                "--follow-torrent=mem", "--file-allocation=none",
                "--listen-port=%d" % CLIENT_PORT, "--dir=" + folder,
                "--bt-max-peers=0", "--bt-request-peer-speed-limit=1000M",
                "--summary-interval=0", "--console-log-level=error",
                "--allow-overwrite=true",
                "--bt-require-crypto=false", "--quiet=true"]

    def get(self, torrent, folder, peers):
        return Start(self.base(torrent, folder, peers) +
                     ["--seed-time=0", torrent.file])

    def seed(self, torrent, folder, peers):
        return Start(self.base(torrent, folder, peers) +
                     ["--seed-ratio=0.0", "--bt-seed-unverified=true",
                      torrent.file])


class Libtorrent:
    name = "libtorrent"

    def __init__(self, bench):
        self.bench = bench
        self.there = subprocess.run(
            [SYSTEM_PYTHON, "-c", "import libtorrent"],
            capture_output=True, check=False).returncode == 0

    def run(self, what, torrent, folder):
        return Start([SYSTEM_PYTHON, os.path.join(HERE, "lt_bench.py"), what,
                      folder, "0.0.0.0", CLIENT_PORT, torrent.file])

    def get(self, torrent, folder, peers):
        return self.run("get", torrent, folder)

    def seed(self, torrent, folder, peers):
        return self.run("seed", torrent, folder)


def drain(fd):
    try:
        while os.read(fd, 65536):
            pass
    except OSError:
        pass
    os.close(fd)


class Rtorrent:
    name = "rtorrent"

    def __init__(self, bench):
        self.bench = bench
        self.there = shutil.which("rtorrent")

    def run(self, torrent, folder, peers):
        done = os.path.join(self.bench.work, "rtorrent.done")
        session = self.bench.empty("rtorrent")
        words = ["rtorrent", "-n"]
        for setting in (
                "network.port_range.set=%d-%d" % (CLIENT_PORT, CLIENT_PORT),
                "network.port_random.set=no", "dht.mode.set=disable",
                "protocol.pex.set=no", "protocol.encryption.set=none",
                "session.path.set=" + session,
                "directory.default.set=" + folder,
                "throttle.max_uploads.set=2000",
                "throttle.max_uploads.global.set=2000",
                "throttle.max_downloads.set=4000",
                "throttle.max_downloads.global.set=4000",
                "throttle.min_peers.normal.set=2000",
                "throttle.max_peers.normal.set=4000",
                "network.max_open_sockets.set=4000",
                "network.receive_buffer.size.set=4M",
                "network.send_buffer.size.set=4M",
                "pieces.hash.on_completion.set=no",
                "pieces.memory.max.set=1800M",
                "method.set_key=event.download.finished,done,"
                "\"execute2=touch,%s\"" % done):
            words += ["-O", setting]
        master, slave = pty.openpty()
        start = Start(words + [torrent.file], done, stdin=slave,
                      stdout=slave)
        threading.Thread(target=drain, args=(master,), daemon=True).start()
        start.close = lambda: os.close(slave)
        return start

    def get(self, torrent, folder, peers):
        return self.run(torrent, folder, peers)

    def seed(self, torrent, folder, peers):
        return self.run(torrent, folder, peers)


TRANSMISSION = {
    "dht-enabled": False, "pex-enabled": False, "lpd-enabled": False,
    "utp-enabled": False, "port-forwarding-enabled": False,
    "rpc-enabled": False, "encryption": 0, "preallocation": 0,
    "rename-partial-files": False, "ratio-limit-enabled": False,
    "speed-limit-up-enabled": False, "speed-limit-down-enabled": False,
    "watch-dir-enabled": True, "incomplete-dir-enabled": False,
    "start-added-torrents": True, "peer-port-random-on-start": False,
    "trash-original-torrent-files": False, "peer-limit-global": 4000,
    "peer-limit-per-torrent": 4000, "upload-slots-per-torrent": 2000,
    "cache-size-mb": 64, "script-torrent-done-enabled": True,
    "scrape-paused-torrents-enabled": False,
}


class Transmission:
    """It takes no peers from 127/8: only in a network of its own."""
    name = "Transmission"

    def __init__(self, bench):
        self.bench = bench
        self.there = bench.namespace and shutil.which("transmission-daemon")

    def run(self, torrent, folder, peers):
        home = self.bench.empty("transmission")
        done = os.path.join(self.bench.work, "transmission.done")
        script = os.path.join(self.bench.work, "transmission.sh")
        with open(script, "w", encoding="utf-8") as out:
            out.write("#!/bin/sh\ntouch %s\n" % done)
        os.chmod(script, 0o755)
        watch = os.path.join(home, "watch")
        os.mkdir(watch)
        settings = dict(TRANSMISSION)
        settings.update({"peer-port": CLIENT_PORT, "download-dir": folder,
                         "watch-dir": watch,
                         "script-torrent-done-filename": script})
        with open(os.path.join(home, "settings.json"), "w",
                  encoding="utf-8") as out:
            json.dump(settings, out)
        shutil.copy(torrent.file, os.path.join(watch, "it.torrent"))
        return Start(["transmission-daemon", "-f", "-e", "/dev/null", "-g",
                      home], done)

    def get(self, torrent, folder, peers):
        return self.run(torrent, folder, peers)

    def seed(self, torrent, folder, peers):
        return self.run(torrent, folder, peers)


ALL = (Floor, Btget, Aria2, Libtorrent, Rtorrent, Transmission)
