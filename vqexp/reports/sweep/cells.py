"""The sweep behind `table=` and `figure=`: one run a cell."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from hydra.core.override_parser.types import Override
from omegaconf import OmegaConf

from vqexp.core.config import resolved
from vqexp.core.errors import ConfigError, MissingError
from vqexp.pipeline import prepare
from vqexp.reports.render.terminal import print_preview
from vqexp.reports.sweep.base import Sweep, by_seed, check_labels_stay_true
from vqexp.reports.sweep.end import finish
from vqexp.reports.sweep.forecast import foretold
from vqexp.reports.sweep.plan import Plan, chosen, make_plan
from vqexp.reports.sweep.smoke import smoke


class CellSweep(Sweep):
    """The cells of the table or figure that the config names; other overrides apply to every cell.

    Several seeds, `seed=0,1,2`, are as many trainings of each cell, which it shows together. Cells whose
    data or weights are not on this machine are left out, with a line that says why.
    """

    def choose(self, overrides: Sequence[Override]) -> list[list[str]]:
        """The plan's jobs."""
        kind = "table" if self.config.get("table") is not None else "figure"
        settings = OmegaConf.to_container(self.config[kind])
        assert isinstance(settings, dict)
        self.tables, self.figure = chosen({str(name): value for name, value in settings.items()}, kind)
        self.smoke = self.config.scale.name == "smoke"
        cells = [cell.settings for table in self.tables for cell in table.cells()]
        check_labels_stay_true(overrides, list(map(smoke, cells)) if self.smoke else cells)
        plans = [make_plan(self.tables, shared, smoke_test=self.smoke) for shared in by_seed(overrides)]
        self.plan = Plan.of(plans)
        return self.plan.jobs

    def check(self) -> None:
        """Leave out what cannot run here; raise `ConfigError` for what is wrong, or if nothing is left."""
        missing: dict[int, str] = {}
        for number, job in enumerate(self.jobs):
            try:
                prepare(self.compose(job), check_store=False)
            except MissingError as error:
                missing[number] = str(error)
        if self.jobs and len(missing) == len(self.jobs):
            raise ConfigError(missing[0])
        counts = Counter(missing[job] for _, _, job in self.plan.places if job in missing)
        for message, count in counts.items():
            print(f"left out (cells: {count}): {message}", flush=True)
        self.plan = self.plan.without(missing)
        self.jobs = self.plan.jobs

    def preview(self) -> None:
        """Print every cell with its reported value, whether there is a record of it, and how long it takes.

        A cell that shares its run, or a part of it, with one above takes what is left.
        """
        composed = [self.compose(job) for job in self.jobs]
        configs = [resolved(config) for config in composed]
        cells = {job: cell for _, cell, job in self.plan.places}
        new = [job for job, config in enumerate(configs) if not self.cache.has(config)]
        known = (self.cache.fitting(cells[job], configs[job]) for job in new)
        times = dict(zip(new, foretold(zip((composed[job] for job in new), known, strict=True)), strict=True))
        for table in self.tables:
            states: dict[tuple[str, str], list[tuple[str, str]]] = {}
            for other, cell, job in self.plan.places:
                if other is table:
                    found = self.cache.state(cell, configs[job]), times.get(job, "")
                    states.setdefault(cell.place, []).append(found)
            print_preview(table, {place: _together(found) for place, found in states.items()})

    def finish(self, paths: Sequence[Path]) -> None:
        """Show the cells beside what was reported, judge the claims, and draw."""
        places = [(table, cell, str(paths[job])) for table, cell, job in self.plan.places]
        finish(self.tables, self.figure, places, self.config.store.root, self.smoke)


def _together(found: Sequence[tuple[str, str]]) -> tuple[str, str]:
    """The states and times of a cell's trainings."""
    states, times = ("; ".join(dict.fromkeys(texts)) for texts in zip(*found, strict=True))
    return states, times
