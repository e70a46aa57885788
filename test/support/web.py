"""web: web servers for web seeds: nginx, and one that does what it is told.

A scripted server serves a folder like any other, with ranges and connections
that stay open, and notes every request; `script`, a function (request, path,
first, last, data), may answer instead (data is the whole file): by
request.part() with more or less changed, request.plain() or what it likes.
It returns False to leave the request to the server. Nothing waits for ever:
every socket has a timeout, and stop() ends it.
"""
import http.server
import os
import re
import threading
import time
import urllib.parse

from harness import accepts, free_port, wait_for
from tracker import Server

NGINX = """
worker_processes 1;
daemon off;
pid {dir}/pid;
error_log {dir}/error.log;
events {{ worker_connections 256; }}
http {{
    access_log {dir}/access.log;
    client_body_temp_path {dir}/body;
    proxy_temp_path {dir}/proxy;
    fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi;
    scgi_temp_path {dir}/scgi;
    sendfile on;
    server {{
        listen {host}:{port};
        root {root};
        {more}
    }}
}}
"""


class Nginx:
    """Serves root; more is put into its server block."""

    def __init__(self, t, root, host="127.0.0.1", more=""):
        self.dir = t.folder("nginx-%d" % id(self))
        shown = "[%s]" % host if ":" in host else host
        self.port = free_port(host)
        os.chmod(self.dir, 0o777)
        config = os.path.join(self.dir, "nginx.conf")
        with open(config, "w", encoding="utf-8") as out:
            out.write(NGINX.format(dir=self.dir, host=shown, port=self.port,
                                   root=root, more=more))
        self.proc = t.spawn(["nginx", "-p", self.dir, "-e",
                             os.path.join(self.dir, "error.log"),
                             "-c", config])
        self.url = "http://%s:%d/" % (shown, self.port)
        wait_for(lambda: accepts(host, self.port), 10, "nginx",
                 alive=[self.proc])

    def connections(self):
        """How many are open now, or were closed lately."""
        with open("/proc/net/tcp", encoding="ascii") as lines:
            return sum(":%04X " % self.port in line for line in lines) - 1

    def requests(self):
        """(path, status, bytes) of each request that has ended."""
        with open(os.path.join(self.dir, "access.log"),
                  encoding="utf-8") as lines:
            found = re.findall(r'"GET (\S+) [^"]*" (\d+) (\d+)',
                               lines.read())
        return [(path, int(status), int(size))
                for path, status, size in found]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30

    def log_message(self, *args):
        pass

    def setup(self):
        super().setup()
        web = self.server.web
        with web.lock:
            web.open.add(self.client_address)
            web.most_open = max(web.most_open, len(web.open))

    def finish(self):
        super().finish()
        web = self.server.web
        with web.lock:
            web.open.discard(self.client_address)

    def do_GET(self):
        web = self.server.web
        path = urllib.parse.unquote(self.path.split("?")[0]).lstrip("/")
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)",
                             self.headers.get("Range", ""))
        first, last = (int(asked[1]), int(asked[2])) if asked \
            else (None, None)
        with web.lock:
            web.requests.append((time.monotonic(), self.path, first, last))
        try:
            full = os.path.join(web.root, path)
            data = b""
            if os.path.isfile(full):
                data = web.read(full)
            if web.script and web.script(self, path, first, last,
                                         data) is not False:
                return
            if not os.path.isfile(full):
                self.plain(404, b"no such file")
            elif first is None:
                self.plain(200, data)
            else:
                self.part(first, last, data)
        except OSError:
            self.close_connection = True

    def plain(self, status, body=b"", **headers):
        self.send_response(status)
        headers.setdefault("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.send(body)

    def head(self, first, last, size):
        self.send_response(206)
        self.send_header("Content-Length", str(last - first + 1))
        self.send_header("Content-Range",
                         "bytes %d-%d/%d" % (first, last, size))
        self.end_headers()

    def part(self, first, last, data):
        self.head(first, last, len(data))
        self.send(data[first:last + 1])

    def send(self, data):
        web = self.server.web
        for at in range(0, len(data), 65536):
            self.wfile.write(data[at:at + 65536])
            with web.lock:
                web.sent += len(data[at:at + 65536])

    def slowly(self, data, rate_bps, step=1024):
        """Sends data at this rate, until the other side or the test ends."""
        for at in range(0, len(data), step):
            self.send(data[at:at + step])
            if self.server.web.ending.wait(step / rate_bps):
                break
        self.close_connection = True


class Web:
    def __init__(self, t, root, script=None, host="127.0.0.1"):
        self.root = root
        self.script = script
        self.lock = threading.Lock()
        self.requests = []
        self.open = set()       # clients that are connected
        self.most_open = 0      # at a time
        self.sent = 0
        self.contents = {}
        self.ending = threading.Event()
        self.server = Server((host, 0), Handler)
        self.server.web = self
        self.port = self.server.server_port
        self.url = "http://%s:%d/" % (host, self.port)
        threading.Thread(target=self.server.serve_forever, args=(0.05,),
                         daemon=True).start()
        t.at_end.append(self.stop)

    def read(self, path):
        """What is in the file; read once, as long as it looks the same."""
        look = os.stat(path)
        key = path, look.st_mtime_ns, look.st_size
        with self.lock:
            if key not in self.contents:
                with open(path, "rb") as file:
                    self.contents[key] = file.read()
            return self.contents[key]

    def stop(self):
        self.ending.set()
        self.server.shutdown()
        self.server.server_close()
