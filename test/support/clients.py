"""clients: the real clients, each started the same way.

Every class has start(t, torrent_file, folder, host) -> Client, which both
seeds what is already in folder and downloads what is not; the tracker in the
torrent brings it together with the others. A Client has .port (0 where it is
not known), .proc and .path, where the torrent's data is. NO_EMPTY are those
that leave out zero-length files, ENCRYPT those that take encrypt=True: they
then talk to nobody in plain. For libtorrent, aria2 and Transmission
torrent_file may be a magnet link.
"""
import json
import os
import pty
import shutil
import threading
import urllib.error
import urllib.request

import harness
import sample
from harness import accepts, free_port, wait_for


class Client:
    def __init__(self, proc, port, folder):
        self.proc = proc
        self.port = port
        self.folder = folder


def start_aria2(t, torrent_file, folder, host="127.0.0.1", *more,
                encrypt=False):
    port = free_port(host)
    proc = t.spawn([
        "aria2c", "--no-conf", "--enable-dht=false", "--enable-dht6=false",
        "--bt-enable-lpd=false", "--enable-peer-exchange=false",
        "--follow-torrent=mem", "--listen-port=%d" % port,
        "--interface=" + host, "--dir=" + folder, "--seed-ratio=0.0",
        "--check-integrity=true", "--allow-overwrite=true",
        "--file-allocation=none", "--bt-max-peers=50",
        "--summary-interval=0", "--console-log-level=warn",
        "--disable-ipv6=" + ("false" if ":" in host else "true"),
        "--bt-force-encryption=" + ("true" if encrypt else "false"),
        *more, torrent_file])
    return Client(proc, port, folder)


TRANSMISSION = {
    "dht-enabled": False, "pex-enabled": False, "lpd-enabled": False,
    "utp-enabled": False, "port-forwarding-enabled": False,
    "rpc-enabled": False, "encryption": 0, "preallocation": 0,
    "rename-partial-files": False, "ratio-limit-enabled": False,
    "speed-limit-up-enabled": False, "watch-dir-enabled": True,
    "incomplete-dir-enabled": False, "start-added-torrents": True,
    "peer-port-random-on-start": False, "trash-original-torrent-files": False,
}


def add_by_rpc(port, link):
    """Gives a link to Transmission, whose first answer names the session."""
    url = "http://127.0.0.1:%d/transmission/rpc" % port
    body = json.dumps({"method": "torrent-add",
                       "arguments": {"filename": link}}).encode()
    session = ""
    for _ in range(2):
        ask = urllib.request.Request(
            url, body, {"X-Transmission-Session-Id": session})
        try:
            with urllib.request.urlopen(ask, timeout=10) as answer:
                assert json.load(answer)["result"] == "success"
        except urllib.error.HTTPError as error:
            session = error.headers["X-Transmission-Session-Id"]


def start_transmission(t, torrent_file, folder, host="127.0.0.1",
                       encrypt=False, utp=False, node=None, **more):
    """host must lie outside 127/8, and so must its peers and tracker. node is
    (host, port) of one in the DHT; more are settings, _ for -."""
    port = free_port(host)
    home = t.folder("transmission-%d" % port)
    watch = t.folder("transmission-%d" % port, "watch")
    settings = dict(TRANSMISSION)
    family = "ipv6" if ":" in host else "ipv4"
    settings.update({"bind-address-" + family: host, "peer-port": port,
                     "download-dir": folder, "watch-dir": watch})
    settings["utp-enabled"] = utp
    is_link = torrent_file.startswith("magnet:")
    if is_link:
        settings.update({"rpc-enabled": True, "rpc-port": free_port(),
                         "rpc-bind-address": "127.0.0.1",
                         "rpc-authentication-required": False})
    if encrypt:
        settings["encryption"] = 2
    if node:
        settings["dht-enabled"] = True
        with open(os.path.join(home, "dht.bootstrap"), "w") as out:
            out.write("%s %d\n" % node)
    settings.update((name.replace("_", "-"), to) for name, to in more.items())
    with open(os.path.join(home, "settings.json"), "w") as out:
        json.dump(settings, out)
    if not is_link:
        shutil.copy(torrent_file, os.path.join(watch, "it.torrent"))
    env = dict(t.env, TR_CURL_VERBOSE="")
    proc = t.spawn(["transmission-daemon", "-f", "-g", home], env=env)
    if is_link:
        rpc = settings["rpc-port"]
        wait_for(lambda: accepts("127.0.0.1", rpc), 20, "Transmission",
                 alive=[proc])
        add_by_rpc(rpc, torrent_file)
    return Client(proc, port, folder)


def start_libtorrent(t, torrent_file, folder, host="127.0.0.1", *more,
                     encrypt=False):
    port = free_port(host)
    proc = t.spawn([
        sample.SYSTEM_PYTHON, os.path.join(harness.HERE, "lt_client.py"),
        "run", "--dir", folder, "--host", host, "--port", port, *more,
        *(["--encrypt"] if encrypt else []),
        torrent_file], name="libtorrent")
    return Client(proc, port, folder)


def drain(fd):
    """Reads a terminal until its program is gone; it would block else."""
    try:
        while os.read(fd, 65536):
            pass
    except OSError:
        pass
    os.close(fd)


def start_rtorrent(t, torrent_file, folder, host="127.0.0.1", *more,
                   encrypt=False):
    """more are settings that come behind these."""
    port = free_port(host)
    session = t.folder("rtorrent-%d" % port)
    settings = [
        "network.port_range.set=%d-%d" % (port, port),
        "network.port_random.set=no", "network.bind_address.set=" + host,
        "dht.mode.set=disable", "protocol.pex.set=no",
        "session.path.set=" + session, "directory.default.set=" + folder,
        "throttle.max_uploads.set=20", "trackers.use_udp.set=yes",
        "trackers.numwant.set=20",
        "protocol.encryption.set=allow_incoming" +
        (",try_outgoing,require,require_RC4" if encrypt else ""), *more]
    words = ["rtorrent", "-n"]
    for setting in settings:
        # -O takes the comma in a setting as it is.
        words += ["-O", setting]
    master, slave = pty.openpty()
    env = dict(t.env, TERM="xterm", COLUMNS="80", LINES="24")
    proc = t.spawn(words + [torrent_file], stdin=slave, stdout=slave,
                   env=env)
    os.close(slave)
    threading.Thread(target=drain, args=(master,), daemon=True).start()
    return Client(proc, port, folder)


def start_ctorrent(t, torrent_file, folder, host="127.0.0.1"):
    """ctorrent wants the path of the data itself, and no port of 0."""
    port = free_port(host)
    with open(torrent_file, "rb") as data:
        name = sample.Torrent(data.read()).name
    proc = t.spawn(["ctorrent", "-i", host, "-p", port, "-e", "1",
                    "-s", os.path.join(folder, name), torrent_file],
                   env=dict(t.env, TERM="dumb"))
    return Client(proc, port, folder)


QBITTORRENT = """[LegalNotice]
Accepted=true

[BitTorrent]
Session\\DHTEnabled=false
Session\\LSDEnabled=false
Session\\PeXEnabled=false
Session\\Port=%(port)d
Session\\Interface=lo
Session\\InterfaceAddress=%(host)s
Session\\InterfaceName=lo
Session\\BTProtocol=TCP
Session\\MultiConnectionsPerIp=true
Session\\DefaultSavePath=%(folder)s

[Network]
PortForwardingEnabled=false

[Preferences]
WebUI\\Enabled=true
WebUI\\Address=127.0.0.1
WebUI\\Port=%(web)d
WebUI\\UseUPnP=false
"""


def start_qbittorrent(t, torrent_file, folder, host="127.0.0.1"):
    port = web = free_port(host)
    while web == port:
        web = free_port()
    profile = t.folder("qbittorrent-%d" % port)
    config = os.path.join(profile, "qBittorrent", "config")
    os.makedirs(config)
    with open(os.path.join(config, "qBittorrent.conf"), "w") as out:
        out.write(QBITTORRENT % {"port": port, "host": host, "web": web,
                                 "folder": folder})
    proc = t.spawn(["qbittorrent-nox", "--profile=" + profile,
                    "--save-path=" + folder, "--add-paused=false",
                    torrent_file],
                   env=dict(t.env, QT_QPA_PLATFORM="offscreen"))
    return Client(proc, port, folder)


STARTERS = {
    "libtorrent": start_libtorrent,
    "aria2": start_aria2,
    "transmission": start_transmission,
    "rtorrent": start_rtorrent,
    "ctorrent": start_ctorrent,
    "qbittorrent": start_qbittorrent,
}
NEEDS = {
    "libtorrent": ("libtorrent",),
    "aria2": ("aria2c",),
    "transmission": ("transmission-daemon", "namespaces"),
    "rtorrent": ("rtorrent",),
    "ctorrent": ("ctorrent", "namespaces"),
    "qbittorrent": ("qbittorrent-nox", "namespaces"),
}
ENCRYPT = ("libtorrent", "aria2", "transmission", "rtorrent")
NO_EMPTY = ("transmission", "ctorrent")
# These take no peers from 127/8.
OUTSIDE = ("transmission", "ctorrent")


def host_for(*names, number=0):
    """An address that all of these clients can work with. Number 0 is for
    the tracker, and no client that is OUTSIDE: ctorrent wants no peer from
    its own address."""
    if any(name in OUTSIDE for name in names):
        return harness.LOCAL[number]
    return "127.0.0.1"


def start(t, name, scene, folder, number=1, **more):
    """Starts this client on a scene that was made for host_for(name)."""
    host = host_for(name, number=number)
    one = STARTERS[name](t, scene.file, folder, host, **more)
    if name in OUTSIDE:
        # It may announce itself from another address.
        scene.tracker.static.append((host, one.port))
    return one


def start_opentracker(t, *torrents, host="127.0.0.1"):
    """Debian's opentracker; returns its HTTP and UDP announce URLs. It reads
    its whitelist after it has changed its root."""
    port = free_port(host)
    folder = t.folder("opentracker")
    white = os.path.join(folder, "whitelist")
    with open(white, "w") as out:
        for torrent in torrents:
            out.write(torrent.hex + "\n")
    os.chmod(folder, 0o755)
    # In a user namespace of one user it cannot drop its rights.
    with open("/proc/self/uid_map") as data:
        if data.read().split()[2:] == ["1"]:
            raise harness.Skip("opentracker needs a second user")
    proc = t.spawn(["opentracker", "-i", host, "-p", port, "-P", port, "-d",
                    folder, "-u", "nobody", "-w", "whitelist"], cwd=folder)
    wait_for(lambda: accepts(host, port), 10, "listening opentracker",
             alive=[proc])
    return ("http://%s:%d/announce" % (host, port),
            "udp://%s:%d/announce" % (host, port))
