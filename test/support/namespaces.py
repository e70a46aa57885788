"""namespaces: a network, mounts and processes of its own for this process.

What unshare(1) does with --net --mount --mount-proc --pid --fork
--kill-child, without starting another program; see namespaces(7).
"""
import ctypes
import os
import signal

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNS, CLONE_NEWUSER = 0x20000, 0x10000000
CLONE_NEWPID, CLONE_NEWNET = 0x20000000, 0x40000000
MS_NOSUID, MS_NODEV, MS_NOEXEC = 2, 4, 8
MS_REC, MS_PRIVATE = 0x4000, 0x40000
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36


def checked(result):
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def die_with_parent():
    """Asks the kernel to kill this process when its parent ends."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def become_reaper():
    """Processes that detach themselves become our children, not init's."""
    LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def become_root():
    """Root of a user namespace of its own, which one may be who is not root
    where the system allows it."""
    uid, gid = os.getuid(), os.getgid()
    checked(LIBC.unshare(CLONE_NEWUSER))
    for name, text in (("setgroups", "deny"), ("uid_map", "0 %d 1" % uid),
                       ("gid_map", "0 %d 1" % gid)):
        with open("/proc/self/" + name, "w") as out:
            out.write(text)


def enter():
    """Returns in a child of this process, in namespaces of its own whose
    first process it is; this process ends as it does. One thread only.
    Raises OSError where the system does not allow it."""
    try:
        checked(LIBC.unshare(CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWPID))
    except PermissionError:
        become_root()
        checked(LIBC.unshare(CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWPID))
    checked(LIBC.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None))
    pid = os.fork()
    if pid:
        _, status = os.waitpid(pid, 0)
        os._exit(os.waitstatus_to_exitcode(status) & 255)
    die_with_parent()
    checked(LIBC.mount(b"proc", b"/proc", b"proc",
                       MS_NOSUID | MS_NODEV | MS_NOEXEC, None))


def allowed():
    """Whether enter() works here."""
    pid = os.fork()
    if pid == 0:
        try:
            enter()
            os._exit(0)
        except BaseException:
            os._exit(1)
    return os.waitpid(pid, 0)[1] == 0
