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
from vqexp.reports.sweep.base import Sweep, by_seed
from vqexp.reports.sweep.end import finish
from vqexp.reports.sweep.plan import Plan, chosen, make_plan


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
            print(f"left out, {count} cells: {message}", flush=True)
        self.plan = self.plan.without(missing)
        self.jobs = self.plan.jobs

    def preview(self) -> None:
        """Print every cell with its reported value, and whether there is a record of it."""
        cache = self.cache()
        configs = [resolved(self.compose(job)) for job in self.jobs]
        for table in self.tables:
            states: dict[tuple[str, str], list[str]] = {}
            for other, cell, job in self.plan.places:
                if other is table:
                    states.setdefault((cell.row, cell.column), []).append(cache.state(cell, configs[job]))
            print_preview(table, {place: "; ".join(dict.fromkeys(found)) for place, found in states.items()})

    def finish(self, paths: Sequence[Path]) -> None:
        """Show the cells beside what was reported, judge the claims, and draw."""
        places = [(table, cell, str(paths[job])) for table, cell, job in self.plan.places]
        finish(self.tables, self.figure, places, self.config.store.root, self.smoke)
