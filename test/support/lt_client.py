#!/usr/bin/python3
"""lt_client: libtorrent as a helper process.

    lt_client.py make --mode v1|v2|hybrid --out FILE [--announce URL] PATH
    lt_client.py run --dir DIR --host H --port P [--peer H:P]... TORRENT
    lt_client.py nodes --host H --port P --count N

TORRENT is a file or a magnet link.

`run` downloads and then seeds until it is stopped, and prints a line of JSON
each time its state changes: state, done, wanted, peers, seeding, by_pex (how
many of the peers it knows from others). With
--dht-node it is in the DHT, with --lsd in local discovery; --passive dials
nobody once it has all, and --closed takes nobody in by TCP. With --utp there
is uTP and nothing else, with --both TCP, too. --only wants that one file,
counted from 0;
--persistent dials its --peer even when it has all, and leaves nobody because
neither wants a thing; --no-pex hears of nobody.

`nodes` are N nodes of the DHT, on P and the ports behind it, which know each
other; it prints how many nodes each has in its table at least, and how many
peers one of them stores at most.
"""
import argparse
import json
import os
import sys
import time

import libtorrent as lt

FLAGS = {"v1": "v1_only", "v2": "v2_only"}


def make(args):
    storage = lt.file_storage()
    lt.add_files(storage, args.path)
    flags = 0
    if args.mode in FLAGS:
        flags = getattr(lt.create_torrent_flags_t, FLAGS[args.mode])
    torrent = lt.create_torrent(storage, args.piece_length, flags)
    if args.announce:
        torrent.add_tracker(args.announce)
    lt.set_piece_hashes(torrent, os.path.dirname(os.path.abspath(args.path)))
    with open(args.out, "wb") as out:
        out.write(lt.bencode(torrent.generate()))


# A network of nodes on one machine: nothing is held against an address.
DHT = {
    "enable_dht": True, "dht_restrict_routing_ips": False,
    "dht_restrict_search_ips": False, "dht_ignore_dark_internet": False,
    "dht_prefer_verified_node_ids": False, "dht_enforce_node_id": False,
    "dht_block_ratelimit": 10000, "dht_upload_rate_limit": 1000000,
    "dht_announce_interval": 5, "dht_bootstrap_nodes": "",
}


def nodes(args):
    ports = range(args.port, args.port + args.count)
    sessions = [lt.session({
        "listen_interfaces": "%s:%d" % (args.host, port),
        "enable_lsd": False, "enable_upnp": False, "enable_natpmp": False,
        "alert_mask": lt.alert.category_t.stats_notification, **DHT})
        for port in ports]
    known, stored, last = [0] * args.count, [0] * args.count, None
    while True:
        for number, ses in enumerate(sessions):
            # A bootstrap node would never get into the table.
            if known[number] < args.count // 2:
                for port in ports:
                    ses.add_dht_node((args.host, port))
            ses.post_session_stats()
            for alert in ses.pop_alerts():
                if isinstance(alert, lt.session_stats_alert):
                    known[number] = alert.values["dht.dht_nodes"]
                    stored[number] = alert.values["dht.dht_peers"]
        now = {"nodes": min(known), "peers": max(stored)}
        if now != last:
            print(json.dumps(now), flush=True)
        last = now
        time.sleep(0.2)


def session(args):
    more = DHT if args.dht_node else {"enable_dht": False}
    return lt.session({
        "listen_interfaces": ("[%s]:%d" if ":" in args.host else "%s:%d")
        % (args.host, args.port),
        "outgoing_interfaces": args.host,
        "enable_upnp": False,
        "enable_natpmp": False, "enable_incoming_utp": args.utp or args.both,
        "enable_outgoing_utp": args.utp or args.both,
        "enable_outgoing_tcp": not args.utp,
        "allow_multiple_connections_per_ip": True,
        "min_reconnect_time": 1, "peer_connect_timeout": 5,
        "announce_to_all_trackers": True, "announce_to_all_tiers": True,
        "auto_manage_interval": 1, "unchoke_interval": 1,
        "out_enc_policy": 0 if args.encrypt else 2,
        "in_enc_policy": 0 if args.encrypt else 1,
        "allowed_enc_level": 2 if args.encrypt else 3,
        "alert_mask": 0x7fffffff if args.verbose else 0,
        "user_agent": "lt-test", "validate_https_trackers": False,
        "enable_lsd": args.lsd,
        "enable_incoming_tcp": not (args.closed or args.utp),
        "seeding_outgoing_connections": not args.passive,
        "close_redundant_connections": not args.persistent, **more,
    })


def run(args):
    ses = session(args)
    if args.dht_node:
        host, _, port = args.dht_node.rpartition(":")
        ses.add_dht_node((host, int(port)))
    if args.torrent.startswith("magnet:"):
        params = lt.parse_magnet_uri(args.torrent)
    else:
        params = lt.add_torrent_params()
        params.ti = lt.torrent_info(args.torrent)
    params.save_path = args.dir
    params.storage_mode = lt.storage_mode_t.storage_mode_sparse
    if args.only is not None:
        params.file_priorities = [
            4 * (i == args.only) for i in range(params.ti.num_files())]
    if args.no_pex:
        params.flags |= lt.torrent_flags.disable_pex
    handle = ses.add_torrent(params)
    handle.unset_flags(lt.torrent_flags.auto_managed)
    handle.resume()
    if args.up_limit:
        handle.set_upload_limit(args.up_limit)
    last = None
    asked = 0
    while True:
        status = handle.status()
        dials = args.persistent or not status.is_seeding
        if dials and time.monotonic() > asked + 1:
            asked = time.monotonic()
            for peer in args.peer:
                host, _, port = peer.rpartition(":")
                handle.connect_peer((host, int(port)))
        now = {"state": str(status.state), "done": status.total_wanted_done,
               "wanted": status.total_wanted, "peers": status.num_peers,
               "seeding": status.is_seeding, "by_pex": sum(
                   bool(peer.source & lt.peer_info.pex)
                   for peer in handle.get_peer_info()),
               "error": status.errc.message() if status.errc.value() else ""}
        if now != last:
            print(json.dumps(now), flush=True)
            last = now
        if args.verbose:
            for alert in ses.pop_alerts():
                print("#", alert, file=sys.stderr, flush=True)
        time.sleep(0.05)


def main():
    parser = argparse.ArgumentParser()
    sub = parser.add_subparsers(dest="what", required=True)
    one = sub.add_parser("make")
    one.add_argument("--mode", required=True)
    one.add_argument("--out", required=True)
    one.add_argument("--announce")
    one.add_argument("--piece-length", type=int, default=65536)
    one.add_argument("path")
    one = sub.add_parser("run")
    one.add_argument("--dir", required=True)
    one.add_argument("--host", default="127.0.0.1")
    one.add_argument("--port", type=int, required=True)
    one.add_argument("--peer", action="append", default=[])
    one.add_argument("--up-limit", type=int, default=0)
    one.add_argument("--encrypt", action="store_true")
    one.add_argument("--dht-node")
    one.add_argument("--lsd", action="store_true")
    one.add_argument("--utp", action="store_true")
    one.add_argument("--both", action="store_true")
    one.add_argument("--only", type=int)
    one.add_argument("--no-pex", action="store_true")
    one.add_argument("--persistent", action="store_true")
    one.add_argument("--passive", action="store_true")
    one.add_argument("--closed", action="store_true")
    one.add_argument("--verbose", action="store_true")
    one.add_argument("torrent")
    one = sub.add_parser("nodes")
    one.add_argument("--host", default="127.0.0.1")
    one.add_argument("--port", type=int, required=True)
    one.add_argument("--count", type=int, required=True)
    args = parser.parse_args()
    {"make": make, "run": run, "nodes": nodes}[args.what](args)


if __name__ == "__main__":
    main()
