"""The library of faults.c, built for a test."""
import glob
import os
import signal
import struct
import subprocess

from harness import ROOT, SANITIZED, Skip, read_text, wait_for


def library(t):
    """Builds the library to be preloaded."""
    if SANITIZED:
        raise Skip("sanitizers have a malloc of their own")
    if struct.calcsize("P") < 8:
        raise Skip("the calls have other names on machines of 32 bits")
    out = t.path("faults.so")
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", out, os.path.join(
        ROOT, "test", "support", "faults.c"), "-ldl"], check=True)
    return out


class Hold:
    """Has the n-th such call, and all further ones, wait. The folder is one
    that the program may write to."""

    def __init__(self, t, folder, call, n):
        os.makedirs(folder, exist_ok=True)
        self.gate = os.path.join(folder, "gate")
        self.env = dict(t.env, LD_PRELOAD=library(t), FAULT_HOLD=self.gate,
                        FAULT="%s:%d:hold:on" % (call, n))

    def wait(self, proc):
        wait_for(lambda: os.path.exists(self.gate + ".held"), 30,
                 "a call that is held", alive=[proc])

    def release(self):
        with open(self.gate, "w", encoding="ascii"):
            pass

    def end(self, proc, number):
        """The program ends by this signal, which it sees before anything that
        waits goes on; another one may be held after it."""
        before = naps(proc)
        proc.signal(number)
        if number == signal.SIGKILL:
            proc.wait()
        else:
            wait_for(lambda: naps(proc) > before and asleep(proc), 20,
                     "the signal to be seen", alive=[proc])
            self.release()
            proc.expect(128 + number)
            os.unlink(self.gate)
        os.unlink(self.gate + ".held")


def asleep(proc):
    """Whether its main thread sleeps: not while it has a signal to see."""
    return "\nState:\tS" in read_text("/proc/%d/status" % proc.pid)


def threads(proc):
    """The names of its threads."""
    return [read_text(path).strip() for path in
            glob.glob("/proc/%d/task/*/comm" % proc.pid)]


def naps(proc):
    """How often its main thread has gone to sleep."""
    for line in read_text("/proc/%d/status" % proc.pid).splitlines():
        if line.startswith("voluntary_ctxt_switches:"):
            return int(line.split()[1])
    return 0


class Sleep:
    """Lets the machine seem to have been suspended. The folder is one that the
    program may read."""

    def __init__(self, t, folder):
        os.makedirs(folder, exist_ok=True)
        self.file = os.path.join(folder, "slept")
        self.env = dict(t.env, LD_PRELOAD=library(t), FAULT_SLEPT=self.file)

    def last(self, seconds):
        """So long in all, since the program was started."""
        with open(self.file + ".new", "w", encoding="ascii") as out:
            out.write("%d\n" % seconds)
        os.replace(self.file + ".new", self.file)


class Later:
    """Has calls fail by this plan, which counts them once begin() was called.
    The folder is one that the program may write to."""

    def __init__(self, t, folder, plan):
        os.makedirs(folder, exist_ok=True)
        self.file = os.path.join(folder, "from")
        self.env = dict(t.env, LD_PRELOAD=library(t), FAULT_FROM=self.file,
                        FAULT=plan)

    def begin(self):
        with open(self.file, "w", encoding="ascii"):
            pass

    @property
    def met(self):
        """Whether one has failed."""
        return os.path.exists(self.file + ".met")


class Counted:
    """Counts the calls of one run."""

    def __init__(self, t):
        self.out = t.path("counts")
        self.env = dict(t.env, LD_PRELOAD=library(t), FAULT_COUNTS=self.out)

    def counts(self):
        return {word: int(n) for word, n in
                (line.split() for line in read_text(self.out).splitlines())}
