"""harness: what every end-to-end test stands on.

A test is a function test_NAME(t) in test/e2e/test_*.py; t is a Context: a
folder of its own, processes that end with it, and btget to run. run.py gives
each test a process of its own and, where the system allows it, a network,
mount and pid namespace of its own, so that ports never collide and nothing
outlives it. When a test ends, its Context stops what still runs, and fails
the test if a btget crashed, did not obey TERM, or made a sanitizer speak, or
if any process was left behind.

BTGET names the program under test. E2E_SLOW multiplies every deadline, for
sanitizers and slow machines.
"""
import contextlib
import glob
import itertools
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import namespaces

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BTGET = os.path.abspath(os.environ.get("BTGET") or
                        os.path.join(ROOT, "build", "btget"))
SLOW = float(os.environ.get("E2E_SLOW", "1"))
SANITIZED = any(word in os.path.basename(os.path.dirname(BTGET))
                for word in ("thread", "address"))
# Whether the test has namespaces of its own; run.py says so.
NAMESPACES = False
# Addresses beside 127/8 that run.py puts on the loopback of the namespace:
# Transmission takes no peers from 127/8.
LOCAL = ["10.77.0.%d" % i for i in range(1, 9)]

# Nothing of a test may leave the machine.
OFFLINE = ["--no-dht", "--no-lsd", "--no-portmap", "--no-utp", "--no-pex",
           "--no-webseed"]
SANITIZER_SAYS = ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer",
                  "WARNING: ThreadSanitizer", "runtime error:",
                  "Sanitizer:DEADLYSIGNAL", "FATAL: ThreadSanitizer")
CRASHES = (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL,
           signal.SIGFPE, signal.SIGPIPE, signal.SIGSYS, signal.SIGTRAP)


class Skip(Exception):
    """The test cannot run here; the text says why."""


class Deadline(AssertionError):
    """Something did not happen in time."""


def as_nobody():
    """For preexec_fn, where we are root."""
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)


def test(deadline=60, needs=(), quick=False):
    """Marks a test: its deadline in seconds, the commands (or "namespaces",
    "libtorrent") it needs, and whether it belongs to the quick part."""
    def mark(function):
        function.deadline = deadline
        function.needs = (needs,) if isinstance(needs, str) else needs
        function.quick = quick
        return function
    return mark


def missing(need):
    """Why a need is not met, or None."""
    if need == "namespaces":
        return None if NAMESPACES else "no namespaces allowed here"
    if need == "libtorrent":
        done = subprocess.run(["/usr/bin/python3", "-c",
                               "import libtorrent"], capture_output=True)
        return "python3-libtorrent is missing" if done.returncode else None
    return None if shutil.which(need) else need + " is missing"


def wait_for(condition, seconds=20, what=None, alive=()):
    """Polls until condition() is true and returns what it gave. Fails when
    the time is over or one of the processes in alive has ended."""
    start = time.monotonic()
    end = start + seconds * SLOW
    while True:
        value = condition()
        if value:
            return value
        for proc in alive:
            if not proc.running():
                value = condition()
                if value:
                    return value
                raise AssertionError("%s ended with %s while waiting for %s"
                                     % (proc.name, proc.code, what))
        now = time.monotonic()
        if now > end:
            raise Deadline("no %s within %g s" % (
                what or "success", seconds * SLOW))
        # Who waits for long need not look that often.
        time.sleep(min(max(0.005, (now - start) / 16), 0.1))


class Late:
    """How long this process did not run at a time, at most."""

    def __init__(self):
        self.most, self.over = 0, threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        at = time.monotonic()
        while not self.over.wait(0.05):
            now = time.monotonic()
            self.most, at = max(self.most, now - at - 0.05), now

    def end(self):
        self.over.set()
        self.thread.join()
        return self.most


def steadily(run):
    """Calls run(), which judges what must be done in time; again where the
    machine stood still, which is not the program's fault."""
    for _ in range(3):
        late, wrong = Late(), None
        try:
            run()
        except AssertionError as error:
            wrong = error
        if late.end() < 0.3 or not wrong:
            break
    if wrong:
        raise wrong


# Below those that the kernel gives to who names none, and each once.
PORTS = itertools.count(10240)


def free_port(host="127.0.0.1"):
    """A port that is free for TCP and UDP, and in a namespace of the test's
    own stays so for whoever was told of it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for _ in range(1000):
        with contextlib.closing(socket.socket(family)) as tcp, \
                contextlib.closing(socket.socket(
                    family, socket.SOCK_DGRAM)) as udp:
            try:
                tcp.bind((host, next(PORTS) if NAMESPACES else 0))
                port = tcp.getsockname()[1]
                udp.bind((host, port))
            except OSError:
                continue
            return port
    raise AssertionError("no free port")


def accepts(host, port):
    """Whether somebody listens there, asked of the kernel's table so that
    no program sees a stray connection."""
    if ":" in host:
        raw = socket.inet_pton(socket.AF_INET6, host)
    else:
        raw = socket.inet_aton(host)
    # The kernel writes words of four bytes as numbers of its own order.
    want = "".join("%08X" % int.from_bytes(raw[i:i + 4], "little")
                   for i in range(0, len(raw), 4)) + ":%04X" % port
    for table, any_host in (("tcp", "00000000"), ("tcp6", "0" * 32)):
        with contextlib.suppress(OSError), \
                open("/proc/net/" + table) as lines:
            for line in lines:
                words = line.split()
                if words[3] == "0A" and words[1] in (
                        want, "%s:%04X" % (any_host, port)):
                    return True
    return False


def children(pid=None):
    """Pids of the living descendants of this process."""
    parents = {}
    for stat in glob.glob("/proc/[0-9]*/stat"):
        with contextlib.suppress(OSError), open(stat) as data:
            text = data.read()
            fields = text[text.rindex(")") + 2:].split()
            if fields[0] != "Z":
                parents[int(stat.split("/")[2])] = int(fields[1])
    found, todo = [], [pid or os.getpid()]
    while todo:
        parent = todo.pop()
        kids = [p for p, its in parents.items() if its == parent]
        found += kids
        todo += kids
    return found


class Proc:
    """A process in a session of its own; its output goes to files."""

    def __init__(self, t, argv, name=None, **options):
        self.argv = [str(a) for a in argv]
        self.name = name or os.path.basename(self.argv[0])
        number = len(t.procs)
        base = os.path.join(t.dir, "log", "%02d-%s" % (number, self.name))
        os.makedirs(os.path.dirname(base), exist_ok=True)
        self.out_path, self.err_path = base + ".out", base + ".err"
        self.is_btget = options.pop("is_btget", False)
        self.may_end = options.pop("may_end", ())
        options.setdefault("stdin", subprocess.DEVNULL)
        options.setdefault("env", t.env)
        options.setdefault("cwd", t.dir)
        if not NAMESPACES:
            prepare = options.pop("preexec_fn", None)

            def before_exec():
                namespaces.die_with_parent()
                if prepare:
                    prepare()
            options["preexec_fn"] = before_exec
        with open(self.out_path, "wb") as out, \
                open(self.err_path, "wb") as err:
            options.setdefault("stdout", out)
            options.setdefault("stderr", err)
            self.popen = subprocess.Popen(
                self.argv, start_new_session=True, **options)
        self.pid = self.popen.pid
        self.peak_kib = 0
        self.started = time.monotonic()
        t.procs.append(self)

    def running(self):
        return self.popen.poll() is None

    @property
    def code(self):
        """The exit code as a shell sees it, None while it runs."""
        code = self.popen.poll()
        return code if code is None or code >= 0 else 128 - code

    def peak(self):
        """The most memory it had resident so far, in KiB."""
        with contextlib.suppress(OSError), \
                open("/proc/%d/status" % self.pid) as status:
            for line in status:
                if line.startswith("VmHWM:"):
                    self.peak_kib = int(line.split()[1])
        return self.peak_kib

    def wait(self, seconds=60):
        """Waits for its end and returns its exit code."""
        if self.running():
            ended = os.pidfd_open(self.pid)
            try:
                self.watch(ended, time.monotonic() + seconds * SLOW)
            finally:
                os.close(ended)
        return self.code

    def watch(self, ended, until):
        pause = 0.01
        while self.running():
            self.peak()
            if time.monotonic() > until:
                raise Deadline("%s still runs; stderr: %s" % (
                    self.name, self.err()[-2000:]))
            select.select([ended], [], [], pause)
            pause = min(2 * pause, 0.04)

    def signal(self, number):
        if self.running():
            os.kill(self.pid, number)

    def kill_group(self):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.popen.wait()

    def out(self):
        return read_text(self.out_path)

    def err(self):
        return read_text(self.err_path)

    def expect(self, code, seconds=60):
        """Waits and fails unless it ended with this code."""
        got = self.wait(seconds)
        assert got == code, "%s ended with %s, not %s\nstdout: %s\n" \
            "stderr: %s" % (self.name, got, code, self.out()[-2000:],
                            self.err()[-4000:])
        return self


def read_text(path):
    try:
        with open(path, "rb") as data:
            return data.read().decode("utf-8", "replace")
    except OSError:
        return ""


class Context:
    """One test's folder and processes."""

    def __init__(self, name):
        self.name = name
        self.dir = tempfile.mkdtemp(prefix="btget-%s-" % name,
                                    dir=os.environ.get("E2E_TMPDIR"))
        # opentracker drops its rights and must still reach its folder.
        os.chmod(self.dir, 0o755)
        self.procs = []
        self.at_end = []
        home = self.path("home")
        os.makedirs(home)
        self.env = {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "HOME": home,
            "XDG_CONFIG_HOME": os.path.join(home, "config"),
            "XDG_CACHE_HOME": os.path.join(home, "cache"),
            "LC_ALL": "C.UTF-8",
            "TMPDIR": self.dir,
            "ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0",
            "TSAN_OPTIONS": "halt_on_error=0:second_deadlock_stack=1",
            "UBSAN_OPTIONS": "print_stacktrace=1",
        }

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    def folder(self, *parts):
        made = self.path(*parts)
        os.makedirs(made, exist_ok=True)
        return made

    def spawn(self, argv, name=None, **options):
        return Proc(self, argv, name, **options)

    def run(self, argv, seconds=60, code=0, **options):
        return self.spawn(argv, **options).expect(code, seconds)

    def btget(self, *args, **options):
        """Starts btget with these arguments; download options that keep it
        on this machine are added when the first one is no verb."""
        args = [str(a) for a in args]
        verb = args and args[0] in ("create", "show", "check", "tracker")
        plain = options.pop("plain", False)
        if not verb and not plain:
            args = OFFLINE + args
        options.setdefault("name", "btget")
        return self.spawn([BTGET] + args, is_btget=True, **options)

    def run_btget(self, *args, seconds=60, code=0, **options):
        return self.btget(*args, **options).expect(code, seconds)

    def seed(self, torrent, folder, *args, **options):
        """A btget that seeds what is in folder; returns it once it does:
        while it still checks, it takes no peers. Its port is .port."""
        host = options.pop("host", "127.0.0.1")
        port = free_port(host)
        proc = self.btget("-d", folder, "-p", port, "--seed-time", "1h",
                          *args, torrent, **options)
        proc.port = port
        wait_for(lambda: "seeding" in proc.out(), 30, "seeding btget",
                 alive=[proc])
        return proc

    def close(self):
        """Stops everything; returns the list of what is wrong."""
        wrong = []
        for stop in reversed(self.at_end):
            try:
                stop()
            except Exception as error:
                wrong.append("cleaning up: %r" % error)
        running = [p for p in self.procs if p.running()]
        for proc in running:
            proc.peak()
            proc.signal(signal.SIGTERM if proc.is_btget else signal.SIGKILL)
        end = time.monotonic() + 15 * SLOW
        for proc in running:
            while proc.running() and time.monotonic() < end:
                time.sleep(0.01)
            if proc.running():
                proc.kill_group()
                wrong.append("%s did not end 15 s after TERM" % proc.name)
        for proc in self.procs:
            proc.kill_group()
            wrong += self.verdict(proc)
        wrong += self.sweep()
        return wrong

    def verdict(self, proc):
        """What is wrong with how a btget ended."""
        if not proc.is_btget:
            return []
        wrong = []
        code = proc.popen.returncode
        if code < 0 and -code in [int(s) for s in CRASHES]:
            wrong.append("%s crashed with %s" % (
                " ".join(proc.argv), signal.Signals(-code).name))
        errors = proc.err()
        for words in SANITIZER_SAYS:
            if words in errors:
                at = errors.index(words)
                wrong.append("sanitizer: " + errors[at:at + 6000])
                break
        return wrong

    def sweep(self):
        """Ends every process that the test left behind."""
        end = time.monotonic() + 2 * SLOW
        left = children()
        while left and time.monotonic() < end:
            time.sleep(0.02)
            left = children()
        wrong = []
        for pid in left:
            words = read_text("/proc/%d/cmdline" % pid).replace("\0", " ")
            wrong.append("left behind: %d %s" % (pid, words))
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        return wrong

    def remove(self):
        shutil.rmtree(self.dir, ignore_errors=True)

    def logs(self):
        """The end of every process's output, for a failed test."""
        out = []
        for proc in self.procs:
            out.append("--- %s (exit %s)" % (" ".join(proc.argv), proc.code))
            for text in (proc.out(), proc.err()):
                if text.strip():
                    out.append(text[-3000:].rstrip())
        return "\n".join(out)


def note(text):
    print(text)
    sys.stdout.flush()
