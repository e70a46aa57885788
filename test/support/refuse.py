"""refuse: a process whose kernel, or sandbox, refuses calls (seccomp).

    scene.download(preexec_fn=lambda: refuse.newer_than_2013(errno.ENOSYS))
"""
import ctypes
import platform
import struct

import namespaces
from harness import Skip

PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 22, 2
PR_SET_NO_NEW_PRIVS = 38
RET_ALLOW, RET_ERRNO = 0x7fff0000, 0x00050000
LOAD, EQUAL, AT_LEAST, RETURN = 0x20, 0x15, 0x35, 0x06     # of BPF
ENOSYS = 38

# The first call that Linux 3.10 has not, and clone3, without which libc goes
# on for ENOSYS alone.
CALLS = {"x86_64": (314, 435), "aarch64": (274, 435)}


class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


def newer_than_2013(error):
    """In the child: calls that came after 2013 fail with this errno."""
    first, clone3 = known()
    words = b"".join(struct.pack("=HBBI", *word) for word in (
        (LOAD, 0, 0, 0),
        (AT_LEAST, 0, 3, first),
        (EQUAL, 0, 1, clone3),
        (RETURN, 0, 0, RET_ERRNO | ENOSYS),
        (RETURN, 0, 0, RET_ERRNO | error),
        (RETURN, 0, 0, RET_ALLOW)))
    program = Program(len(words) // 8, words)
    for option in ((PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
                   (PR_SET_SECCOMP, SECCOMP_MODE_FILTER,
                    ctypes.byref(program), 0, 0)):
        namespaces.checked(namespaces.LIBC.prctl(*option))


def known():
    """The numbers of the calls, on this machine. A kernel of 64 bits has
    others for programs of 32."""
    if struct.calcsize("P") < 8 or platform.machine() not in CALLS:
        raise Skip("the numbers of calls are not known here")
    return CALLS[platform.machine()]
