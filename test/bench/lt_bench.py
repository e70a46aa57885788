#!/usr/bin/python3
"""lt_bench: libtorrent at its best settings.

    lt_bench.py get  DIR HOST PORT TORRENT    downloads, and ends
    lt_bench.py seed DIR HOST PORT TORRENT    seeds without a check, until TERM
    lt_bench.py swarm DIR HOST PORT TORRENT RATE DONE
        checks, downloads and seeds at most at RATE until TERM; makes the file
        DONE when it has all
"""
import signal
import sys

import libtorrent as lt


def limit_all(session, rate):
    """Peers of the local network too, and not more slots than are good."""
    everyone = lt.ip_filter()
    everyone.add_rule("0.0.0.0", "255.255.255.255",
                      1 << lt.session.global_peer_class_id)
    session.set_peer_class_filter(everyone)
    session.apply_settings({"upload_rate_limit": rate,
                            "unchoke_slots_limit": 8,
                            "unchoke_interval": 15,
                            "allow_multiple_connections_per_ip": True,
                            "seed_choking_algorithm": 0})
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))


def main():
    what, folder, host, port, torrent = sys.argv[1:6]
    session = lt.session({
        "listen_interfaces": "%s:%s" % (host, port),
        "enable_dht": False, "enable_lsd": False, "enable_upnp": False,
        "enable_natpmp": False, "enable_incoming_utp": False,
        "enable_outgoing_utp": False, "out_enc_policy": 2, "in_enc_policy": 1,
        "connections_limit": 4000, "unchoke_slots_limit": -1,
        "connection_speed": 1000, "max_out_request_queue": 2000,
        "max_allowed_in_request_queue": 4000, "torrent_connect_boost": 255,
        "send_buffer_watermark": 4 << 20, "send_buffer_low_watermark": 1 << 20,
        "send_buffer_watermark_factor": 150, "aio_threads": 2,
        "hashing_threads": 2, "max_queued_disk_bytes": 64 << 20,
        "unchoke_interval": 1, "validate_https_trackers": False,
        "alert_mask": lt.alert.category_t.status_notification,
    })
    if what == "swarm":
        limit_all(session, int(sys.argv[6]))
    params = lt.add_torrent_params()
    params.ti = lt.torrent_info(torrent, {"max_pieces": 1000000,
                                          "max_buffer_size": 100000000})
    params.save_path = folder
    params.max_connections = 4000
    params.flags &= ~(lt.torrent_flags.auto_managed |
                      lt.torrent_flags.paused)
    if what == "seed":
        params.flags |= lt.torrent_flags.seed_mode
    handle = session.add_torrent(params)
    while True:
        session.wait_for_alert(100 if what == "swarm" else 1000)
        for alert in session.pop_alerts():
            if isinstance(alert, lt.torrent_error_alert):
                sys.exit(str(alert))
            if what == "get" and isinstance(alert, lt.torrent_finished_alert):
                # Everything is on disk once this is answered.
                handle.flush_cache()
        if what == "swarm" and handle.status().is_seeding:
            with open(sys.argv[7], "w", encoding="utf-8"):
                pass
            what = "seed"
        if what == "get" and handle.is_valid() and \
                handle.status().is_seeding:
            return


main()
