"""Goal: once it has started, btget cannot write but below its folders, start
a program or gain privileges, whatever a bug might do; and nobody who uses it
lawfully ever notices. What the rules refuse is tried by the unit test."""
import os
import re
import subprocess

import namespaces
from harness import BTGET, OFFLINE, Skip, read_text, test
from swarm import MIB, Scene


def landlock():
    """The kernel's version of it, 0 where there is none."""
    create_ruleset, want_version = 444, 1
    return max(0, namespaces.LIBC.syscall(create_ruleset, None, 0,
                                       want_version))


@test(quick=True)
def test_every_thread_is_without_new_privileges(t):
    scene = Scene(t, 4 * MIB)
    seed = scene.slow_seed(0.02)
    proc = scene.start()
    scene.wait_requests(seed, 20, proc)
    tasks = "/proc/%d/task" % proc.pid
    states = [read_text(os.path.join(tasks, task, "status"))
              for task in os.listdir(tasks)]
    assert len(states) > 3
    assert all("NoNewPrivs:\t1" in text for text in states if text)
    proc.expect(0)
    scene.check()


@test(needs="strace", quick=True)
def test_the_rules_hold_before_there_are_threads(t):
    if not landlock():
        raise Skip("this kernel has no Landlock")
    scene = Scene(t, MIB)
    scene.seed()
    for words in (["-d", scene.target, scene.file], ["show", scene.file],
                  ["check", "-d", scene.target, scene.file]):
        trace = t.path("trace")
        t.run(["strace", "-f", "-o", trace, "-e",
               "trace=landlock_restrict_self,clone3,clone", BTGET] +
              (OFFLINE if words[0] == "-d" else []) + words,
              env=dict(t.env, ASAN_OPTIONS="detect_leaks=0"))
        first = re.search(r"(landlock_restrict_self|clone3?)\(.*",
                          read_text(trace))
        assert first and first[1] == "landlock_restrict_self" and \
            first[0].endswith("= 0"), first


def used(*args, env=None, cwd=None):
    """It works as before with these arguments, below the folder `here`."""
    @test()
    def run(t):
        scene = Scene(t, MIB)
        scene.seed()
        here = t.folder("here")
        scene.target = os.path.join(here, "a", "b")
        environment = dict(t.env)
        for name, value in (env or {}).items():
            if value is None:
                environment.pop(name, None)
            else:
                environment[name] = value.format(t=t)
        scene.download(*[a.format(here=here, t=t) for a in args],
                       env=environment, cwd=cwd or here)
        scene.check()
        for word in args:
            if word.endswith(".log"):
                log = os.path.join(here, word.format(here=here, t=t))
                assert "complete" in read_text(log), "no log"
    return run


test_a_log_in_the_working_folder = used("-l", "run.log")
test_a_log_elsewhere = used("-l", "{t.dir}/other.log")
test_no_home_and_no_cache = used(env={"HOME": None, "XDG_CACHE_HOME": None})
test_space_reserved = used("--allocation", "full")


@test(needs="namespaces")
def test_a_target_on_another_file_system(t):
    scene = Scene(t, MIB)
    scene.seed()
    os.makedirs(scene.target)
    subprocess.run(["mount", "-t", "tmpfs", "none", scene.target],
                   check=True)
    scene.download()
    scene.check()
    subprocess.run(["umount", "-l", scene.target], check=True)


@test()
def test_a_target_behind_a_link(t):
    scene = Scene(t, MIB)
    scene.seed()
    os.makedirs(t.path("real"))
    os.symlink(t.path("real"), scene.target)
    scene.download()
    scene.check()


def with_dht(t, **env):
    """A run with a DHT that reaches nobody: in a network of its own."""
    scene = Scene(t, MIB)
    scene.seed()
    words = [w for w in OFFLINE if w != "--no-dht"]
    t.run_btget(*words, "-d", scene.target, "-p", "0", scene.file,
                plain=True, env=dict(t.env, **env))
    scene.check()


@test(needs="namespaces")
def test_a_cache_that_cannot_be_written(t):
    with_dht(t, XDG_CACHE_HOME="/proc/none")


@test(needs="namespaces")
def test_the_cache_folder_is_for_its_owner_alone(t):
    with_dht(t)
    folder = os.path.join(t.env["XDG_CACHE_HOME"], "btget")
    if not landlock() and not os.path.isdir(folder):
        raise Skip("this kernel has no Landlock")
    assert os.stat(folder).st_mode & 0o777 == 0o700
