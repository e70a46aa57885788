"""Goal: the config file sets what the command line does not say, and each
line that cannot be understood ends the run with 2 and a message that names
file and line."""
import os
import shutil

import sample
from harness import BTGET, Skip, as_nobody, test
from swarm import MIB, Scene


def write(t, text, name="home/config/btget/config"):
    return sample.write_file(t.path(name), text.encode())


@test(quick=True)
def test_the_users_file_is_read(t):
    scene = Scene(t, MIB)
    scene.seed()
    other = t.path("elsewhere")
    write(t, "# mine\ndir = %s\nquiet = yes\n" % other)
    run = t.run_btget("-p", "0", scene.file)
    assert run.out() == "" and run.err() == "", run.out() + run.err()
    sample.assert_same(scene.path, os.path.join(other, scene.torrent.name))
    # A flag wins over it.
    scene.download()
    scene.check()


@test(quick=True)
def test_a_file_by_name_and_none_at_all(t):
    scene = Scene(t, MIB)
    scene.seed()
    write(t, "frob = 1\n")
    mine = write(t, "progress = json\n", "mine")
    run = scene.download("--config", mine)
    assert run.out().startswith("{"), run.out()
    run = scene.download("--no-config")
    assert not run.out().startswith("{"), run.out()


@test(quick=True)
def test_each_mistake_ends_with_2(t):
    scene = Scene(t, MIB)
    for text, want in (
            ("frob = 1\n", ":1: unknown option 'frob'"),
            ("\n#\nquiet\n", ":3: 'quiet' is not of the form option = value"),
            ("dir = x\nmax-peers = many\n", ":2: max-peers: 'many' is not a "
             "number from 1 to 10000"),
            ("help = yes\n", ":1: the command line alone has the option "
             "'help'"),
            ("config = x\n", ":1: the command line alone has the option "
             "'config'"),
            ("quiet = maybe\n", ":1: quiet: 'maybe' is not yes or no"),
            ("down-limit = 5Q\n", ":1: down-limit: '5Q' is not a size such "
             "as 500K or 2M"),
            ("deadline = 5y\n", ":1: deadline: '5y' is not a duration such "
             "as 90, 15m or 2h"),
            ("encryption = some\n", ":1: encryption: 'some' is not prefer, "
             "require or off"),
            ("progress = loud\n", ":1: progress: 'loud' is not auto, bar, "
             "plain, json or none"),
            ("peer = nowhere\n", ":1: peer: 'nowhere' is not HOST:PORT"),
            ("port = 99999\n", ":1: port: '99999' is not a port, 0 to "
             "65535"),
            ("seed-ratio = -1\n", ":1: seed-ratio: '-1' is not a ratio such "
             "as 1.5"),
            ("files = a,,b\n", ":1: files: an item is empty"),
            ("watch =\n", ":1: watch: needs a value"),
            ("= x\n", ":1: unknown option ''"),
            ("quiet = yes\ndir = a\0b\n", ":2: a NUL byte")):
        path = write(t, text)
        run = scene.download(code=2)
        assert run.err() == "btget: %s%s\n" % (path, want), run.err()
        assert not os.path.exists(scene.target)


@test(quick=True)
def test_no_home_no_environment(t):
    scene = Scene(t, MIB)
    scene.seed()
    t.run(["env", "-i", BTGET, "-q", "--no-dht", "-d", scene.target,
           scene.file])
    scene.check()


@test(quick=True)
def test_the_file_of_another_user_is_none_of_ours(t):
    """HOME stays what it was when cron or sudo changes the user."""
    if os.getuid() != 0:
        raise Skip("only root becomes another user")
    scene = Scene(t, MIB)
    home = t.path("home")
    path = write(t, "frob = 1\n")
    os.chmod(home, 0o700)
    # Where the checkout lies may be closed to others as well.
    mine = shutil.copy(BTGET, t.path("btget"))
    get = [mine, "-d", "/nonexistent/dir", scene.file]
    run = t.run(get, code=4, preexec_fn=as_nobody)
    assert "cannot create folder" in run.err(), run.err()
    # One that is within reach, and cannot be read, may not be left out.
    os.chmod(home, 0o711)
    os.chmod(path, 0o600)
    run = t.run(get, code=2, preexec_fn=as_nobody)
    assert run.err().startswith("btget: cannot read '%s'" % path), run.err()
