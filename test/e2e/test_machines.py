"""Goal: it does the same on kernels, in sandboxes and in environments that
are not the usual ones."""
import errno

import refuse
from harness import test
from swarm import MIB, Scene


def without_newer_calls(error):
    @test()
    def run(t):
        refuse.known()
        scene = Scene(t, files=[("a", 3 * MIB), ("b", 70000)])
        scene.seed()
        scene.download(preexec_fn=lambda: refuse.newer_than_2013(error))
        scene.check()
    return run


test_an_old_kernel = without_newer_calls(errno.ENOSYS)
test_a_sandbox_that_knows_no_newer_calls = without_newer_calls(errno.EPERM)
