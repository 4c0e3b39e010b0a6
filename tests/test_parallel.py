"""Two processes on one table: they share the work, and together take little more than half of its time."""

import multiprocessing
import time

import torch

from vqexp.core.store import Artifact, Job, Store
from vqexp.core.turns import in_turn

PAUSE = 0.15  # seconds that a chunk takes; a process that sleeps does not mind what else the machine does
# chunks of each cell's stages, as in a table by column: natural accuracy; an attack that all defenses share,
# and its evaluation; an attack of its own on so few images that they are one chunk
CELLS = {
    **{f"natural {defense}": [("f", 4), (f"natural {defense}", 4)] for defense in "abc"},
    **{f"pgd {defense}": [("pgd", 4), (f"pgd on {defense}", 4)] for defense in "abc"},
    **{f"eot {defense}": [(f"eot {defense}", 1), (f"eot on {defense}", 1)] for defense in "abcd"},
}


def work(root):
    """A process: every cell, stage by stage."""
    store, names = Store(root), list(CELLS)

    def chunk(log):
        with log.open("a") as file:
            file.write("done\n")
        time.sleep(PAUSE)
        return Artifact({"x": torch.zeros(1)})

    for number in in_turn([name.replace(" ", "-") for name in names], root / "running"):
        for stage, count in CELLS[names[number]]:
            keys = [f"{stage}-{i}".replace(" ", "-") for i in range(count)]
            jobs = [Job("chunk", key, lambda key=key: chunk(root / f"{key}.log")) for key in keys]
            assert len(list(store.fetch_all(jobs))) == count


def seconds(root, processes):
    """How long so many processes take for all cells on a store of their own."""
    root.mkdir()
    context = multiprocessing.get_context("fork")  # which need not import torch again
    started = [context.Process(target=work, args=(root,)) for _ in range(processes)]
    start = time.monotonic()
    for each in started:
        each.start()
    for each in started:
        each.join()
    assert [each.exitcode for each in started] == [0] * processes
    return time.monotonic() - start


def test_two_processes_take_at_most_0_6_of_the_time_of_one(tmp_path):
    one, *two = (seconds(tmp_path / name, len(name)) for name in ("1", "22", "33"))
    assert min(two) <= 0.6 * one
    for name in ("1", "22", "33"):
        logs = list((tmp_path / name).glob("*.log"))
        assert len(logs) == 4 * 2 + 2 * 3 * 4 + 2 * 4
        assert {log.read_text() for log in logs} == {"done\n"}  # nothing is computed twice


def test_what_another_process_is_at_comes_last(tmp_path):
    first, second = in_turn("abc", tmp_path), in_turn("abc", tmp_path)
    assert next(first) == 0
    assert [next(second), next(second)] == [1, 2]
    assert list(first) == [1, 2]  # 1 is free again, and 2 comes at the end
    assert list(second) == [0]
