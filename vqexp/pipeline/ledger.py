"""Fetching artifacts with a progress bar, and a list of those that a run rests on."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from vqexp.core.progress import progress_bar
from vqexp.core.store import Artifact, Job, Store


class Ledger:
    """Artifacts from `store`, each noted with the seconds it took, whenever that was."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._used: dict[str, dict[str, float]] = {}  # kind -> key -> seconds

    def fetch(self, job: Job) -> Artifact:
        """The artifact of `job`, computed if need be."""
        artifact = self.store.fetch(job)
        self._note(job, artifact)
        return artifact

    def fetch_chunks(
        self,
        title: str,
        jobs: Sequence[Job],
        chunks: Sequence[slice],
        accuracy: Callable[[Artifact], float] | None = None,
        leave: str | None = None,
        draws: int | None = None,
    ) -> list[Artifact]:
        """All chunks' artifacts in order, with a bar in images, their speed, and the running accuracy.

        leave: a tensor of each artifact that stays in the store, so that at most one is in memory. draws: of
        each image, whose speed is shown.
        """
        parts: dict[int, Artifact] = {}
        done, total, start = 0, 0.0, time.monotonic()
        sizes = [rows.stop - rows.start for rows in chunks]
        with progress_bar(title, sum(sizes)) as bar:
            shown = [
                replace(job, compute=partial(bar.during, size, job.compute))
                for job, size in zip(jobs, sizes, strict=True)
            ]
            for index, artifact in self.store.fetch_all(shown):
                parts[index] = artifact
                if leave is not None:
                    del artifact.tensors[leave]
                self._note(jobs[index], artifact)
                size = sizes[index]
                done += size
                figures = {}
                if accuracy is not None:
                    total += size * accuracy(artifact)
                    figures["accuracy"] = total / done
                if draws is not None:
                    speed = done / (time.monotonic() - start)
                    figures |= {"images/s": speed, "draws/s": speed * draws}
                move = bar.advance if bar.piece else bar.skip
                move(size, **figures)
        return [parts[index] for index in range(len(jobs))]

    def _note(self, job: Job, artifact: Artifact) -> None:
        self._used.setdefault(job.kind, {})[job.key] = artifact.facts.get("seconds", 0.0)

    @property
    def used(self) -> dict[str, list[str]]:
        """kind -> keys, sorted: workers that share the chunks meet them in different orders."""
        return {kind: sorted(keys) for kind, keys in sorted(self._used.items())}

    @property
    def seconds(self) -> dict[str, float]:
        """kind -> seconds that its artifacts took."""
        return {kind: sum(keys.values()) for kind, keys in sorted(self._used.items())}
