"""line: hosts in networks of their own, each behind a line of a home: with a
rate, a way to the middle and a queue. The program is test/bench/line.c, which
tells how it works; the bench uses it, too.

Host N is 5.9.N+1.1: addresses as they are on the Internet, since btget takes
those of a private network for near. Their TCP is CUBIC, which homes have,
whatever this machine prefers.
"""
import contextlib
import os
import signal
import subprocess

import namespaces

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.join(os.path.dirname(HERE), "bench", "line.c")
NEEDS = ("namespaces", "nsenter", "ip", "cc")
DEVICE = "/dev/net/tun"
FIRST_FD = 100
PORT = 6881
SET_UP = """
link set lo up
link set line addrgenmode none
link set line mtu 1500 txqueuelen 4000 up
addr add %s/32 dev line
route add default dev line congctl cubic
"""


def missing():
    """Why there can be no lines here, or None."""
    try:
        os.close(os.open(DEVICE, os.O_RDWR))
    except OSError as error:
        return "cannot open %s: %s" % (DEVICE, error.strerror)
    return None


def build(out):
    subprocess.run(["cc", "-std=c11", "-D_GNU_SOURCE", "-O2", "-o", out,
                    SOURCE], check=True)
    return out


def home(up=2, down=20, **more):
    """A line of so many Mbit/s, as add() in Lines takes it."""
    line = {"up": int(up * 1e6), "down": int(down * 1e6), "delay_us": 12500,
            "up_queue": 100000, "down_queue": 100000}
    line.update(more)
    return line


def server():
    """A host without limits."""
    return {"delay_us": 5000}


def address(number):
    return "5.9.%d.1" % (number + 1)


def words(number, line):
    """The line as the program takes it."""
    out = [address(number)]
    for name, value in line.items():
        if name == "only":
            out += ["only=%d" % n for n in value]
        else:
            out.append(name if value is True else "%s=%d" % (name, value))
    return ",".join(out)


def go_to(network):
    namespaces.checked(namespaces.LIBC.setns(network.fileno(),
                                             namespaces.CLONE_NEWNET))


class Lines:
    """Runs the program with these lines, until close()."""

    def __init__(self, program, lines):
        self.popen = subprocess.Popen(
            [program] + [words(*one) for one in enumerate(lines)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            start_new_session=True)
        try:
            if self.popen.stdout.readline() != b"ready\n":
                raise OSError("no lines")
            os.set_blocking(self.popen.stdout.fileno(), False)
            for number in range(len(lines)):
                subprocess.run(
                    self.enter(number) + ["ip", "-batch", "-"], check=True,
                    input=(SET_UP % address(number)).encode())
        except BaseException:
            self.close()
            raise

    def network(self, number):
        return "/proc/%d/fd/%d" % (self.popen.pid, FIRST_FD + number)

    def enter(self, number):
        """What starts a program there, before its own words."""
        return ["nsenter", "--net=" + self.network(number)]

    @contextlib.contextmanager
    def inside(self, number):
        """Sockets that are made in here are that host's."""
        with open("/proc/self/ns/net", encoding="ascii") as back, \
                open(self.network(number), encoding="ascii") as there:
            go_to(there)
            try:
                yield
            finally:
                go_to(back)

    def break_or_mend(self):
        """Those with "breaks"."""
        self.popen.send_signal(signal.SIGUSR1)

    def were_late(self):
        """Whether packets waited for this machine, and not for a line."""
        return bool(self.popen.stdout.read())

    def close(self):
        """The networks end with the last of those who are in them."""
        self.popen.kill()
        self.popen.wait()
        self.popen.stdout.close()
