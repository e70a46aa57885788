#!/usr/bin/python3
"""lt_line: libtorrent as people have it, behind a line.

    lt_line.py KIND DIR ADDRESS TORRENT DONE [CLIENT]

KIND is "seed" (not checked) or "leech", with libtorrent's own settings, or
"qbittorrent", which has those of qBittorrent 4.5 where they differ. Runs
until TERM; makes the file DONE when it has all, and prints at its end how
many bytes of the torrent came from the address CLIENT.
"""
import signal
import sys

import libtorrent as lt

PORT = 6881
LOOK_MS = 200
SETTINGS = {
    "enable_dht": False, "enable_lsd": False, "enable_upnp": False,
    "enable_natpmp": False,
    "alert_mask": lt.alert.category_t.status_notification,
}
# 0 prefers TCP to uTP; 1 is "fastest upload".
QBITTORRENT = {"mixed_mode_algorithm": 0, "unchoke_slots_limit": 20,
               "seed_choking_algorithm": 1, "connections_limit": 500}


class Gifts:
    """What came from the client, over all of its connections."""

    def __init__(self, client):
        self.client = client
        self.ended = 0
        self.now = {}

    def look(self, handle):
        for peer in handle.get_peer_info():
            if peer.ip[0] != self.client:
                continue
            before = self.now.get(peer.ip, 0)
            if peer.total_download < before:
                self.ended += before    # a new connection
            self.now[peer.ip] = peer.total_download

    def total(self):
        return self.ended + sum(self.now.values())


def start(kind, folder, address, torrent):
    session = lt.session(dict(
        SETTINGS, listen_interfaces="%s:%d" % (address, PORT),
        **(QBITTORRENT if kind == "qbittorrent" else {})))
    params = lt.add_torrent_params()
    params.ti = lt.torrent_info(torrent)
    params.save_path = folder
    params.flags &= ~(lt.torrent_flags.auto_managed |
                      lt.torrent_flags.paused)
    if kind == "seed":
        params.flags |= lt.torrent_flags.seed_mode
    if kind == "qbittorrent":
        params.max_uploads = 4
        params.max_connections = 100
    return session, session.add_torrent(params)


def main():
    kind, folder, address, torrent, done = sys.argv[1:6]
    gifts = Gifts(sys.argv[6] if len(sys.argv) > 6 else None)
    ended = []
    signal.signal(signal.SIGTERM, lambda *_: ended.append(1))
    session, handle = start(kind, folder, address, torrent)
    while not ended:
        session.wait_for_alert(LOOK_MS)
        for alert in session.pop_alerts():
            if isinstance(alert, lt.torrent_error_alert):
                sys.exit(str(alert))
            if isinstance(alert, lt.torrent_finished_alert):
                with open(done, "w", encoding="ascii"):
                    pass
        gifts.look(handle)
    print(gifts.total(), flush=True)


main()
