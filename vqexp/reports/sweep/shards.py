"""Sweeps whose runs are split: `-m shard=1/4,2/4,3/4,4/4` launches every run four times, a share each."""

from collections.abc import Sequence
from pathlib import Path

from hydra.core.override_parser.types import Override

from vqexp.core.errors import require
from vqexp.core.places import place
from vqexp.pipeline.shard import Shard


def without_shards(overrides: Sequence[Override]) -> tuple[list[Override], list[str]]:
    """The overrides but those of `shard`, and the shards that they name, such as `2/4`; none: no split.

    Raises `ConfigError` for what is no shard, and for shards of several splits.
    """
    others = [each for each in overrides if each.key_or_group != "shard"]
    shards: list[str] = []
    for override in overrides:
        if override.key_or_group == "shard":
            found = override.sweep_string_iterator() if override.is_sweep_override() else [override.value()]
            shards = [str(value) for value in found if value is not None]
    parts = {shard.count for text in shards if (shard := Shard.of(text))}
    require(len(parts) < 2, f"shard={','.join(shards)} mixes splits; all must have one number of shards")
    return others, shards


def split(jobs: Sequence[list[str]], shards: Sequence[str]) -> list[list[str]]:
    """Each job once for each shard; the jobs as they are where there is none."""
    return [[*job, f"shard={text}"] for job in jobs for text in shards] if shards else list(jobs)


def records(paths: Sequence[str], shards: Sequence[str]) -> list[Path] | None:
    """The record of each job, from what its shards returned; None, and a line, if some wait for others."""
    size = max(len(shards), 1)
    found = [next(filter(None, paths[start : start + size]), None) for start in range(0, len(paths), size)]
    if waiting := found.count(None):
        print(f"{waiting} of {len(found)} runs wait for shards that others do")
        return None
    return [place(path) for path in found if path is not None]
