"""Goal: what is downloaded, in which order, and how it takes its space, is
what was asked for. Only selected files appear, sizes and percentages are of
them, and another selection in a later run never trusts a wrong byte."""
import os

from harness import test, wait_for
from swarm import MIB, Scene


@test(quick=True)
def test_sequential_asks_in_order(t):
    scene = Scene(t, 2 * MIB + 5)
    seed = scene.seed()
    scene.download("--sequential")
    scene.check()
    pieces = [index for index, _, _ in seed.requests]
    assert pieces == sorted(pieces), pieces


@test(quick=True)
def test_without_allocation_files_grow(t):
    """The first piece alone is there: the file ends behind it, and a second
    run completes it."""
    scene = Scene(t, 4 * MIB)
    seed = scene.slow_seed(0.01)
    run = scene.start("--sequential", "--allocation=none")
    scene.wait_requests(seed, 20, run)
    wait_for(lambda: os.path.exists(scene.part), 10, "data")
    size = os.path.getsize(scene.part)
    assert size < 4 * MIB, size
    run.signal(15)
    run.expect(143, 10)
    scene.download("--allocation=none")
    scene.check()


@test()
def test_each_allocation_makes_the_same_tree(t):
    scene = Scene(t, files=(("a/x", 100000), ("b", 0), ("c", 70001)))
    scene.seed()
    for how in ("none", "sparse", "full"):
        scene.target = t.path("target-" + how)
        scene.download("--allocation=" + how)
        scene.check()
