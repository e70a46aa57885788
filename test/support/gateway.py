#!/usr/bin/env python3
"""gateway: a scripted router, behind a veth pair of its own.

As a module, Gateway(t, ...) puts one between the test and nothing: the test's
namespace gets the default route to it, and .heard() gives what it was asked,
as dictionaries in the order they came. The program itself runs in another
network namespace and prints a line of JSON for each request.

It speaks those of pcp, natpmp and upnp that it is told to; --lifetime is what
it grants, --port the external port of TCP (else the one that is asked for),
--miss how many questions of PCP for each protocol it does not answer after
the first, --evil a way to misbehave, told at the places where it does. A line on its
standard input is an order: "restart" forgets all and announces that.
"""
import argparse
import http.server
import json
import os
import socket
import struct
import subprocess
import sys
import threading
import time

import harness

HERE = os.path.dirname(os.path.abspath(__file__))
US, GATEWAY, OTHER = "10.78.0.2", "10.78.0.1", "10.78.0.3"
EXTERNAL = "203.0.113.7"
PCP_PORT, NEWS_PORT, SSDP_PORT, HTTP_PORT = 5351, 5350, 1900, 5000
GROUP = "239.255.255.250"
NAMES = {6: "TCP", 17: "UDP"}
WANIP = "urn:schemas-upnp-org:service:WANIPConnection:1"


def ip(*words):
    subprocess.run(["ip", *words], check=True, stdin=subprocess.DEVNULL)


class Gateway:
    """The test's side."""

    def __init__(self, t, *words):
        argv = ["unshare", "--net", sys.executable,
                os.path.join(HERE, "gateway.py"), *words]
        self.proc = t.spawn(argv, name="gateway", stdin=subprocess.PIPE,
                            env=dict(t.env, PYTHONDONTWRITEBYTECODE="1"))
        ip("link", "add", "up0", "type", "veth", "peer", "name", "gw0")
        self.move()
        ip("addr", "add", US + "/24", "dev", "up0")
        ip("link", "set", "up0", "up")
        harness.wait_for(lambda: "ready" in self.proc.out(), 20,
                         "the gateway", alive=[self.proc])
        ip("route", "add", "default", "via", GATEWAY)

    def move(self):
        """unshare(1) becomes the program once it has its namespace."""
        mine = os.readlink("/proc/self/ns/net")
        where = "/proc/%d/ns/net" % self.proc.pid
        harness.wait_for(lambda: os.readlink(where) != mine, 10,
                         "the gateway's namespace", alive=[self.proc])
        ip("link", "set", "gw0", "netns", str(self.proc.pid))

    def renumber(self, address):
        """The test's side has this address from now on; its route goes with
        the old one."""
        ip("addr", "del", US + "/24", "dev", "up0")
        ip("addr", "add", address + "/24", "dev", "up0")
        ip("route", "add", "default", "via", GATEWAY)

    def heard(self, **want):
        """What it was asked, as far as these keys have these values."""
        lines = [json.loads(line) for line in self.proc.out().split("\n")
                 if line.startswith("{")]
        return [one for one in lines
                if all(one.get(k) == v for k, v in want.items())]

    def wait(self, count=1, seconds=20, alive=(), **want):
        harness.wait_for(lambda: len(self.heard(**want)) >= count, seconds,
                         "%d times %r" % (count, want), alive=alive)
        return self.heard(**want)

    def close(self):
        """The pair of links goes with its namespace."""
        self.proc.kill_group()
        harness.wait_for(lambda: "up0:" not in harness.read_text(
            "/proc/net/dev"), 10, "the link to go")

    def order(self, word):
        self.proc.popen.stdin.write(word.encode() + b"\n")
        self.proc.popen.stdin.flush()


# ---- the program ----

LOCK = threading.Lock()


def tell(**what):
    with LOCK:
        print(json.dumps(dict(what, at=time.monotonic())), flush=True)


class Router:
    def __init__(self, args):
        self.args = args
        self.started = time.monotonic() - 1000
        self.leases = 0
        self.nonces, self.asked = {}, {}

    def epoch(self):
        return int(time.monotonic() - self.started)

    def external(self, protocol, wanted):
        if protocol == 6 and self.args.port:
            return self.args.port
        return wanted or 40000

    # PCP and NAT-PMP

    def answer(self, data):
        if data[0] == 2 and self.args.pcp:
            return self.pcp(data)
        if data[0] != 0 and self.args.natpmp:
            # RFC 6886, 3.5: a version that it does not know.
            return struct.pack(">BBHL", 0, 128, 1, self.epoch())
        if data[0] == 0 and self.args.natpmp:
            return self.natpmp(data)
        return None

    def pcp(self, data):
        lifetime, client = struct.unpack(">L16s", data[4:24])
        nonce, protocol, inner, outer = struct.unpack(
            ">12sBxxxHH", data[24:44])
        tell(by="pcp", protocol=NAMES[protocol], inner=inner, outer=outer,
             lifetime=lifetime, client=socket.inet_ntoa(client[12:]),
             nonce=nonce.hex(), size=len(data))
        self.asked[protocol] = self.asked.get(protocol, 0) + 1
        if 1 < self.asked[protocol] <= 1 + self.args.miss:
            return None
        # RFC 6887, 11.3: it is there, and somebody else's.
        if self.nonces.setdefault((protocol, inner), nonce) != nonce:
            return self.pcp_packet(2, 60, nonce, protocol, inner, outer)
        if self.args.evil == "refuse":
            return self.pcp_packet(2, 60, nonce, protocol, inner, outer)
        if self.args.evil == "nonce":
            nonce = bytes(12)
        if self.args.evil == "short":
            return self.pcp_packet(0, 7200, nonce, protocol, inner,
                                   inner)[:40]
        granted = min(lifetime, self.args.lifetime)
        return self.pcp_packet(0, granted, nonce, protocol, inner,
                               self.external(protocol, outer))

    def pcp_packet(self, result, lifetime, nonce, protocol, inner, outer):
        ip4 = bytes(10) + b"\xff\xff" + socket.inet_aton(EXTERNAL)
        return struct.pack(">BBBBLL12x12sBxxxHH16s", 2, 129, 0, result,
                           lifetime, self.epoch(), nonce, protocol, inner,
                           outer, ip4)

    def natpmp(self, data):
        if data[1] == 0:
            tell(by="natpmp", address=True)
            return self.natpmp_address()
        inner, outer, lifetime = struct.unpack(">HHL", data[4:12])
        protocol = {1: 17, 2: 6}[data[1]]
        tell(by="natpmp", protocol=NAMES[protocol], inner=inner,
             outer=outer, lifetime=lifetime)
        granted = min(lifetime, self.args.lifetime)
        return struct.pack(">BBHLHHL", 0, 128 + data[1], 0, self.epoch(),
                           inner, self.external(protocol, outer), granted)

    def natpmp_address(self):
        return struct.pack(">BBHL4s", 0, 128, 0, self.epoch(),
                           socket.inet_aton(EXTERNAL))

    def serve_packets(self, sock):
        while True:
            data, source = sock.recvfrom(2048)
            reply = self.answer(data)
            if reply:
                sock.sendto(reply, source)

    def restart(self, sock):
        """Forgets all, and tells everybody."""
        self.nonces.clear()
        self.started = time.monotonic()
        if self.args.pcp:
            news = struct.pack(">BBBBLL12x", 2, 128, 0, 0, 0, self.epoch())
        else:
            news = self.natpmp_address()
        sock.sendto(news, ("224.0.0.1", NEWS_PORT))

    # UPnP

    def location(self):
        evil = self.args.evil
        host = {"elsewhere": OTHER, "loopback": "127.0.0.1",
                "name": "gateway.example"}.get(evil, GATEWAY)
        return "http://%s:%d/desc.xml" % (host, HTTP_PORT)

    def serve_search(self, sock):
        while True:
            data, source = sock.recvfrom(2048)
            tell(by="ssdp", text=data.decode())
            sock.sendto(("HTTP/1.1 200 OK\r\nCACHE-CONTROL: max-age=120\r\n"
                         "ST: upnp:rootdevice\r\nEXT:\r\nLocation: %s\r\n"
                         "\r\n" % self.location()).encode(), source)

    def description(self):
        control = "/ctl/IPConn"
        if self.args.evil == "control":
            control = "http://%s:%d/ctl" % (OTHER, HTTP_PORT)
        return """<?xml version="1.0"?>
<root xmlns="urn:schemas-upnp-org:device-1-0"><device><deviceList><device>
<serviceList><!-- <service><controlURL>/no</controlURL></service> -->
<service><serviceType>urn:schemas-upnp-org:service:WANCommonInterfaceConfig:1
</serviceType><controlURL>/ctl/CmnIfCfg</controlURL></service>
<service><serviceType>%s</serviceType>
<controlURL>%s</controlURL></service></serviceList></device></deviceList>
</device></root>
""" % (WANIP, control)

    def order(self, action, body):
        """(status, inner XML) of a SOAP request."""
        def value(name):
            head, tail = "<%s>" % name, "</%s>" % name
            if head not in body:
                return None
            return body[body.index(head) + len(head):body.index(tail)]
        lease = value("NewLeaseDuration")
        outer = value("NewExternalPort")
        tell(by="upnp", action=action, protocol=value("NewProtocol"),
             outer=int(outer) if outer else None,
             client=value("NewInternalClient"),
             lease=int(lease) if lease else None)
        if action == "GetExternalIPAddress":
            return 200, "<NewExternalIPAddress>%s</NewExternalIPAddress>" % \
                EXTERNAL
        if action == "AddPortMapping":
            if self.args.evil == "permanent" and lease != "0":
                return 500, "725"
            if self.args.evil == "conflict" and self.leases == 0:
                self.leases += 1
                return 500, "718"
            if self.args.evil == "full":
                return 500, "728"
        return 200, ""


def handler_of(router):
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args):
            pass

        def reply(self, status, body, **headers):
            body = body.encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self):
            tell(by="get", path=self.path)
            evil = router.args.evil
            if evil == "huge":
                self.send_response(200)
                self.end_headers()
                self.close_connection = True
                try:
                    while True:
                        self.wfile.write(b"<service>" * 4096)
                except OSError:
                    tell(by="get", hung_up=True)
            elif evil == "redirect" and self.path == "/desc.xml":
                self.reply(302, "", Location="http://%s:%d/other.xml" % (
                    GATEWAY, HTTP_PORT))
            elif evil == "hang":
                time.sleep(60)
            else:
                self.reply(200, router.description())

        def do_POST(self):
            size = int(self.headers["Content-Length"])
            body = self.rfile.read(size).decode()
            name = self.headers["SOAPAction"].strip('"')
            kind, _, action = name.partition("#")
            if kind != WANIP or "u:%s " % action not in body:
                return self.reply(400, "")
            status, inner = router.order(action, body)
            if status == 200:
                inner = "<u:%sResponse xmlns:u=\"%s\">%s</u:%sResponse>" % (
                    action, kind, inner, action)
            else:
                inner = ("<s:Fault><detail><UPnPError><errorCode>%s"
                         "</errorCode></UPnPError></detail></s:Fault>"
                         % inner)
            return self.reply(status, "<s:Envelope xmlns:s=\"x\"><s:Body>"
                              "%s</s:Body></s:Envelope>" % inner)

    return Handler


def udp(host, port):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((host, port))
    return sock


def serve(target, *args):
    threading.Thread(target=target, args=args, daemon=True).start()


def main():
    parser = argparse.ArgumentParser()
    for word in ("pcp", "natpmp", "upnp"):
        parser.add_argument("--" + word, action="store_true")
    parser.add_argument("--lifetime", type=int, default=7200)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--miss", type=int, default=0)
    parser.add_argument("--evil")
    args = parser.parse_args()
    while "gw0:" not in harness.read_text("/proc/self/net/dev"):
        time.sleep(0.01)
    ip("link", "set", "lo", "up")
    for host in (GATEWAY, OTHER):
        ip("addr", "add", host + "/24", "dev", "gw0")
    ip("link", "set", "gw0", "up")
    router = Router(args)
    sock = udp(GATEWAY, PCP_PORT)
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF,
                    socket.inet_aton(GATEWAY))
    if args.pcp or args.natpmp or args.evil == "mute":
        serve(router.serve_packets, sock)
    else:
        # Nobody listens: the kernel says so.
        sock.close()
    if args.upnp:
        search = udp("", SSDP_PORT)
        search.setsockopt(
            socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP,
            socket.inet_aton(GROUP) + socket.inet_aton(GATEWAY))
        serve(router.serve_search, search)
        serve(http.server.ThreadingHTTPServer(
            ("", HTTP_PORT), handler_of(router)).serve_forever)
    print("ready", flush=True)
    for line in sys.stdin:
        if line.strip() == "restart":
            router.restart(sock)


if __name__ == "__main__":
    main()
