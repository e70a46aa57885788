#!/usr/bin/env python3
"""Runs the end-to-end tests: one line a test, then the closing line.

    test/e2e/run.py [-j N] [-k WORD] [--quick] [--list] [--add P,F,S] [FILE...]

FILE is test/e2e/test_NAME.py or just NAME; none means all. Each test runs in
a process of its own and, where the system allows it, in network, mount and
pid namespaces of its own, so that nothing can outlive it or reach another
one. What a failed test printed is shown, and all is kept below
build/e2e. --add puts counts of other tests (passed,failed,skipped) into the
closing line. The environment is told in test/support/harness.py.
"""
import argparse
import glob
import importlib.util
import itertools
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "support"))
import harness  # noqa: E402
import namespaces  # noqa: E402

LOGS = os.path.join(os.path.dirname(harness.BTGET), "e2e")
PASSED, FAILED, SKIPPED = 0, 1, 77
# How much longer than its deadline a test may take to clean up.
GRACE = 40


def load(path):
    name = os.path.splitext(os.path.basename(path))[0]
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def tests_of(path):
    """(label, function) of each test in a file, in the order written."""
    module = load(path)
    short = os.path.splitext(os.path.basename(path))[0][len("test_"):]
    return [(short + "." + name[len("test_"):], value)
            for name, value in vars(module).items()
            if name.startswith("test_") and callable(value)]


def on_alarm(signum, frame):
    raise harness.Deadline("the test's deadline is over")


def configure_network():
    """Brings up the loopback with its addresses. Who connects to one of
    them comes from the first, as if from another machine, where the kernel
    would have taken the address itself."""
    first, *others = harness.LOCAL
    lines = ["link set lo up"] + [
        "addr add %s/32 dev lo" % a for a in harness.LOCAL] + [
        "route change local %s dev lo table local src %s" % (a, first)
        for a in others]
    subprocess.run(["ip", "-batch", "-"], check=True,
                   input="\n".join(lines).encode())


def run_test(label, function):
    """Runs one test in this process; the exit code is the verdict."""
    namespaces.become_reaper()
    if harness.NAMESPACES:
        configure_network()
    t = harness.Context(re.sub(r"[^a-z0-9]+", "-", label.lower()))
    signal.signal(signal.SIGALRM, on_alarm)
    signal.alarm(int(getattr(function, "deadline", 60) * harness.SLOW))
    wrong, verdict = [], PASSED
    try:
        function(t)
    except harness.Skip as why:
        harness.note("SKIP: %s" % why)
        verdict = SKIPPED
    except BaseException:
        wrong.append(traceback.format_exc())
    signal.alarm(0)
    try:
        wrong += t.close()
    except BaseException:
        wrong.append(traceback.format_exc())
    if wrong:
        harness.note("\n".join(wrong))
        harness.note(t.logs())
        verdict = FAILED
    if not (wrong and os.environ.get("E2E_KEEP")):
        t.remove()
    else:
        harness.note("kept: " + t.dir)
    return verdict


def missing(function, known):
    """Why a test cannot run here, or None; each need is looked for once."""
    for need in getattr(function, "needs", ()):
        if need not in known:
            known[need] = harness.missing(need)
        if known[need]:
            return known[need]
    return None


class Child:
    """A test in a process of its own, with all that this one has loaded."""

    def __init__(self, label, function):
        self.label = label
        self.started = time.monotonic()
        self.limit = self.started + harness.SLOW * (
            GRACE + getattr(function, "deadline", 60))
        self.log = os.path.join(LOGS, label + ".log")
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid == 0:
            code = FAILED
            try:
                self.begin()
                code = run_test(label, function)
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        self.ended = os.pidfd_open(self.pid)

    def begin(self):
        os.setsid()
        namespaces.die_with_parent()
        # A shell starts what runs behind it with some of these ignored, and
        # so would be what a test starts.
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT,
                       signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        null = os.open(os.devnull, os.O_RDONLY)
        log = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        for number, fd in enumerate((null, log, log)):
            os.dup2(fd, number)
        os.close(null)
        os.close(log)
        if harness.NAMESPACES:
            namespaces.enter()

    def kill(self):
        os.killpg(self.pid, signal.SIGKILL)
        with open(self.log, "a") as log:
            log.write("the test hung and was killed\n")

    def wait(self):
        """Its exit code; it has ended, or soon will."""
        os.close(self.ended)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


class Runner:
    def __init__(self):
        self.counts = {PASSED: 0, FAILED: 0, SKIPPED: 0}
        self.failures = []
        self.known = {}

    def run(self, chosen, most):
        """Runs all of them, so many at a time."""
        waiting, running = list(reversed(chosen)), {}
        poll = select.poll()
        while waiting or running:
            while waiting and len(running) < most:
                label, function = waiting.pop()
                why = missing(function, self.known)
                if why:
                    self.report(label, SKIPPED, 0, "SKIP: " + why)
                    continue
                child = Child(label, function)
                running[child.ended] = child
                poll.register(child.ended, select.POLLIN)
            for fd, _ in poll.poll(1000) if running else ():
                poll.unregister(fd)
                self.ended(running.pop(fd))
            for child in running.values():
                if time.monotonic() > child.limit:
                    child.limit = float("inf")
                    child.kill()

    def ended(self, child):
        code = child.wait()
        self.report(child.label, code, time.monotonic() - child.started,
                    harness.read_text(child.log))

    def report(self, label, code, seconds, log):
        if code not in self.counts:
            code = FAILED
        self.counts[code] += 1
        if code == PASSED:
            print("ok    %-48s %5.1f s" % (label, seconds))
        elif code == SKIPPED:
            why = re.findall(r"^SKIP: (.*)$", log, re.M)
            print("skip  %-48s %s" % (label, why[-1] if why else "?"))
        else:
            why = re.findall(r"^(?:\w+\.)*\w*(?:Error|Deadline)\b.*$", log,
                             re.M)
            self.failures.append("%s: %s" % (
                label, why[0][:300] if why else "?"))
            print("FAIL  %-48s %5.1f s" % (label, seconds))
            print("    " + log[-9000:].replace("\n", "\n    "))
        sys.stdout.flush()


def closing_line(counts, add):
    extra = [int(n) for n in add.split(",")]
    return "%d passed, %d failed, %d skipped" % (
        counts[PASSED] + extra[0], counts[FAILED] + extra[1],
        counts[SKIPPED] + extra[2])


def choose(args):
    paths = []
    for name in args.files:
        if not name.endswith(".py"):
            name = os.path.join(HERE, "test_%s.py" % name)
        paths.append(name)
    chosen = []
    for path in paths or sorted(glob.glob(os.path.join(HERE, "test_*.py"))):
        for label, function in tests_of(path):
            if args.quick and not getattr(function, "quick", False):
                continue
            if args.k and args.k not in label:
                continue
            chosen.append((label, function))
    return in_good_order(chosen)


def in_good_order(chosen):
    """The longest first, so that none is waited for alone at the end, and
    between them the shortest: the long ones wait, and the others work."""
    down = sorted(chosen, key=lambda c: -getattr(c[1], "deadline", 60))
    half = (len(down) + 1) // 2
    pairs = itertools.zip_longest(down[:half], reversed(down[half:]))
    return [one for pair in pairs for one in pair if one]


def own_folder():
    """A folder for this run, which is removed even if a signal ends it; the
    tests end with us, see namespaces.die_with_parent."""
    where = os.environ.get("E2E_TMPDIR")
    if not where and os.access("/dev/shm", os.W_OK):
        where = "/dev/shm"
    base = tempfile.mkdtemp(prefix="btget-e2e-", dir=where)
    os.chmod(base, 0o755)
    os.environ["E2E_TMPDIR"] = base

    def stop(signum, frame):
        shutil.rmtree(base, ignore_errors=True)
        os._exit(128 + signum)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, stop)
    return base


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("-j", type=int,
                        default=6 * max(2, os.cpu_count() or 1))
    parser.add_argument("-k", default="")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--add", default="0,0,0")
    parser.add_argument("files", nargs="*")
    args = parser.parse_args()
    chosen = choose(args)
    if args.list:
        # As others do whose reader has seen enough, such as head.
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        print("\n".join(label for label, _ in chosen))
        return 0
    os.makedirs(LOGS, exist_ok=True)
    base = own_folder()
    harness.NAMESPACES = not os.environ.get("E2E_NO_NAMESPACES") and \
        namespaces.allowed()
    runner = Runner()
    runner.run(chosen, max(1, args.j))
    if not os.environ.get("E2E_KEEP"):
        shutil.rmtree(base, ignore_errors=True)
    for failure in runner.failures:
        print("failed: " + failure)
    print(closing_line(runner.counts, args.add))
    return 1 if runner.counts[FAILED] or \
        int(args.add.split(",")[1]) else 0


if __name__ == "__main__":
    sys.exit(main())
