"""Goal: under cron btget needs nobody. The commands and units of docs/CRON.md
do what the page says, run as cron would run them, and silence means success."""
import os
import re
import shlex
import shutil
import signal
import subprocess
import time

import peer
import sample
from harness import BTGET, OFFLINE, ROOT, SLOW, read_text, test, wait_for
from swarm import MIB, Scene
from web import Web


def page():
    """The code blocks of the page, as (kind, text)."""
    with open(os.path.join(ROOT, "docs", "CRON.md")) as data:
        return re.findall(r"^```([^\n]+)\n(.*?)^```$", data.read(),
                          re.MULTILINE | re.DOTALL)


def block(kind):
    return next(text for name, text in page() if name == kind)


def cron_commands():
    """What cron would give to the shell."""
    found = []
    for kind, text in page():
        for line in text.splitlines() if kind == "crontab" else []:
            if re.match(r"[A-Z_]+=", line):
                continue
            match = re.match(r"(@\w+|(?:[\d*/,-]+\s+){4}[\d*/,-]+)\s+(.*)$",
                             line)
            assert match, "no crontab line: " + line
            assert not re.search(r"(?<!\\)%", match.group(2)), line
            found.append(match.group(2))
    return found


class Host:
    """A machine as on the page, below the test's folder: /srv/iso and so
    on, the user's config, cron's environment."""

    def __init__(self, t, seed=True):
        self.t = t
        self.scene = Scene(t, MIB, name="debian")
        if seed:
            self.scene.seed()
        for name in ("queue", "log", "bin"):
            t.folder("srv", name)
        shutil.copy(self.scene.file, t.path("srv/queue/debian.torrent"))
        os.symlink(BTGET, t.path("srv/bin/btget"))
        self.scene.target = t.path("srv/iso")
        self.web = Web(t, self.scene.source)
        self.env = {"HOME": t.path("cronhome"), "LOGNAME": "me",
                    "SHELL": "/bin/sh",
                    "PATH": "/usr/bin:/bin:" + t.path("srv/bin")}
        config = "".join(o[2:] + " = yes\n" for o in OFFLINE) + "port = 0\n"
        sample.write_file(t.path("cronhome/.config/btget/config"),
                          config.encode())

    def here(self, command):
        """The command with folders and hosts of this machine."""
        return command.replace("/srv/", self.t.path("srv") + "/") \
            .replace("https://example.org/debian.torrent", self.web.url +
                     os.path.basename(self.scene.file)) \
            .replace("/usr/bin/btget", self.t.path("srv/bin/btget"))

    def start(self, command, **options):
        words = ["env", "-i"] + ["%s=%s" % i for i in self.env.items()]
        return self.t.spawn(words + ["/bin/sh", "-c", self.here(command)],
                            name="cron", is_btget=True, **options)

    def run(self, command, code=0, seconds=60, **options):
        return self.start(command, **options).expect(code, seconds)


@test(quick=True, deadline=90)
def test_the_crontab_of_the_page(t):
    commands = cron_commands()
    assert len(commands) == 5, commands
    for command in commands:
        host = Host(t)
        if "--watch" in command:
            run = host.start("exec " + command)
            wait_for(lambda: os.path.exists(host.scene.result), 20,
                     "download", alive=[run])
            host.scene.check()
            run.signal(signal.SIGTERM)
            run.expect(143, 15)
        else:
            run = host.run(command)
            host.scene.check()
            for _ in range(2):
                again = host.run(command)
                assert again.out() == "" and again.err() == ""
                host.web.stop()
        assert run.out() == "" and run.err() == "", run.out() + run.err()
        shutil.rmtree(t.path("srv"))
        shutil.rmtree(t.path("cronhome"))


@test(quick=True, needs=("namespaces", "pkill"))
def test_the_logs_of_the_page_are_rotated(t):
    """What logrotate would run finds each btget that watches, however it was
    started, and no other one: these are all there are in this namespace."""
    command, = re.findall(r"^\tpostrotate$\n(.*?)^\tendscript$",
                          block("logrotate"), re.MULTILINE | re.DOTALL)
    log = re.match(r"(\S+) {\n", block("logrotate")).group(1)
    host = Host(t, seed=False)
    host.scene.seed(peer.never_unchokes)
    watching = next(c for c in cron_commands() if "--watch" in c)
    assert log in watching
    host.run(command)                    # nobody is there to be found
    runs, logs = [], []
    for name, words in (
            ("one", watching),
            ("two", watching.replace("btget ", BTGET + " ", 1)),
            ("three", watching + " --on-complete true"),
            ("four", watching.replace("--watch ", "--watch=", 1))):
        os.mkdir(t.path("srv", name))
        logs.append(t.path("srv/log", name))
        runs.append(host.start("exec " + words.replace(
            log, "/srv/log/" + name).replace("/srv/queue", "/srv/" + name)))
        wait_for(lambda: "watching" in read_text(logs[-1]), 10, "start",
                 alive=runs)
    other = host.start("exec btget -q -d /srv/iso /srv/queue/debian.torrent")
    wait_for(lambda: host.scene.tracker.of(host.scene.torrent), 20,
             "announce", alive=[other])
    for one in logs:
        os.rename(one, one + ".1")
    host.run(command)
    for one, run in zip(logs, runs):
        wait_for(lambda: os.path.exists(one), 10, "another log",
                 alive=[run])
        sample.write_file(t.path("srv", os.path.basename(one), "bad.torrent"),
                          b"bad")
        wait_for(lambda: "bad.torrent" in read_text(one), 10, "line in it",
                 alive=[run])
        assert "bad.torrent" not in read_text(one + ".1")
        run.signal(signal.SIGTERM)
        run.expect(143, 15)
    assert other.running()
    other.signal(signal.SIGTERM)
    other.expect(143, 15)


@test(quick=True)
def test_the_script_of_the_page(t):
    host = Host(t)
    assert host.run(block("sh")).out() == "complete\n"


@test(quick=True)
def test_the_script_while_another_run_is_at_it(t):
    host = Host(t, seed=False)
    host.scene.seed(peer.never_unchokes)
    first = host.start("exec btget -q -d /srv/iso /srv/queue/debian.torrent")
    wait_for(lambda: host.scene.tracker.of(host.scene.torrent), 20,
             "announce", alive=[first])
    run = host.run(block("sh"))
    assert run.out() == "another run is at it\n" and run.err() == ""
    first.signal(signal.SIGTERM)
    first.expect(143, 15)


@test(quick=True)
def test_the_config_of_the_page(t):
    host = Host(t)
    path = t.path("cronhome/.config/btget/config")
    with open(path, "a") as out:
        out.write(host.here(block("config")))
    run = host.run("btget /srv/queue/debian.torrent")
    assert run.out() == "" and run.err() == "", run.err()
    host.scene.check()
    assert "complete" in read_text(t.path("srv/log/btget.log"))


def units():
    return {kind.split()[1]: text for kind, text in page()
            if kind.startswith("systemd ")}


def words_of(text, key="ExecStart"):
    return shlex.split(re.search(r"^%s=(.*)$" % key, text,
                                 re.MULTILINE).group(1))


@test(quick=True)
def test_the_units_of_the_page(t):
    host = Host(t)
    run = host.run(shlex.join(words_of(units()["btget.service"])))
    host.scene.check()
    assert run.out() == "" and run.err() == "", run.out() + run.err()
    run = host.start("exec " + shlex.join(
        words_of(units()["btget-watch.service"]) + ["-v"]))
    wait_for(lambda: "watching" in run.err(), 10, "start", alive=[run])
    assert children_of(run.pid) == []
    t.run([w.replace("$MAINPID", str(run.pid)) for w in words_of(
        units()["btget-watch.service"], "ExecReload")])
    time.sleep(0.5)
    assert run.running()
    run.signal(signal.SIGTERM)
    run.expect(143, 15)


def children_of(pid):
    done = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)],
                          capture_output=True, text=True)
    return done.stdout.split()


@test(quick=True, needs="systemd-analyze")
def test_systemd_takes_the_units(t):
    folder = t.folder("units")
    for name, text in units().items():
        sample.write_file(os.path.join(folder, name), text.replace(
            "/usr/bin/btget", BTGET).encode())
    for name in units():
        t.run(["systemd-analyze", "verify", os.path.join(folder, name)])


@test(quick=True)
def test_a_mail_has_one_line_and_says_why(t):
    """Standard error and output are one pipe under cron."""
    host = Host(t, seed=False)
    host.scene.seed(peer.never_unchokes)
    mail = host.run("btget -q -d /srv/iso --deadline %d "
                    "/srv/queue/debian.torrent 2>&1" % (2 * SLOW), code=6)
    assert mail.out() == "btget: debian: incomplete: the deadline came; " \
        "run it again to resume\n", mail.out()


@test(quick=True)
def test_nothing_but_three_closed_descriptors(t):
    host = Host(t)
    host.run("exec btget -q -d /srv/iso /srv/queue/debian.torrent "
             "<&- >&- 2>&-")
    host.scene.check()
    # What it opened instead of them is no place for its messages.
    host.scene = Scene(t, MIB, name="other")
    sample.write_file(t.path("srv/queue/other.torrent"),
                      host.scene.torrent.raw)
    host.run("exec btget -d /srv/iso --deadline 1 /srv/queue/other.torrent "
             "<&- >&- 2>&-", code=5)
    for folder, _, names in os.walk(t.path("srv")):
        for name in names:
            assert b"btget: " not in open(os.path.join(folder, name),
                                          "rb").read() or name == "btget"


@test(needs=("namespaces", "unshare"), quick=True)
def test_closed_descriptors_where_there_is_no_dev(t):
    """As in a chroot. The first file that it opens is the log. The test's
    folder may lie in /dev, too."""
    host = Host(t)
    host.run("cd /srv/ && exec unshare --mount /bin/sh -c '"
             "mount -t tmpfs none /dev && exec %s %s -p 0 -l log/all -d iso "
             "queue/debian.torrent >&- 2>&-'" % (BTGET, " ".join(OFFLINE)))
    host.scene.check()
    lines = read_text(t.path("srv/log/all")).splitlines()
    assert lines and all(re.match(r"\d{4}-", line) for line in lines), lines


@test(quick=True)
def test_a_complete_torrent_takes_no_time(t):
    host = Host(t)
    command = "btget -q -d /srv/iso /srv/queue/debian.torrent"
    host.run(command)
    asked = len(host.scene.tracker.requests)
    run = host.run("exec " + command)
    assert len(host.scene.tracker.requests) == asked
    assert run.out() == "" and run.err() == ""
