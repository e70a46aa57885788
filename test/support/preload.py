"""The library of faults.c, built for a test."""
import os
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


class Counted:
    """Counts the calls of one run."""

    def __init__(self, t):
        self.out = t.path("counts")
        self.env = dict(t.env, LD_PRELOAD=library(t), FAULT_COUNTS=self.out)

    def counts(self):
        return {word: int(n) for word, n in
                (line.split() for line in read_text(self.out).splitlines())}
