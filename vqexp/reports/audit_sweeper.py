"""The sweeper behind `table=audit`: leaves out what makes no sense for the defense, and writes the page."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Override
from omegaconf import OmegaConf

from vqexp.errors import ConfigError, SenselessError
from vqexp.pipeline import read_record
from vqexp.reports.audit import Audit, load_audit
from vqexp.reports.audit_page import audit_page, read_audit, write_page
from vqexp.reports.sweeper import BasicSweeper, TableSweeper
from vqexp.reports.table import Cell
from vqexp.store import Store, key_of


class AuditSweeper(TableSweeper):
    """Runs the rows of an audit; a row takes the first of its adversaries that makes sense."""

    _cells: list[Cell]
    _jobs: list[list[str]]
    _left_out: dict[str, str]

    def split_arguments(  # type: ignore[override]
        self, overrides: Sequence[Override], max_batch_size: int | None
    ) -> list[list[list[str]]]:
        """One job a row. What makes no sense is left out with its reason; any other bad setting is raised."""
        shared = self.shared(overrides)
        self._cells, self._jobs, self._left_out = [], [], {}
        for choices in self.audit().attempts():
            self._choose(choices, shared)
        if not self._cells:
            reasons = "; ".join(f"{label}: {reason}" for label, reason in self._left_out.items())
            raise ConfigError(f"table=audit has no row to run here ({reasons})")
        return [self._jobs]

    def _choose(self, choices: Sequence[Cell], shared: list[str]) -> None:
        reasons = []
        for cell in choices:
            # what the command line says of the accuracies is not for a row of another metric
            other = any(text.startswith("metric=") for text in cell.overrides)
            job = cell.overrides + [text for text in shared if not (other and text.startswith("metric."))]
            try:
                self.check(job)
            except SenselessError as error:
                reasons.append(str(error))
            else:
                self._cells.append(cell)
                self._jobs.append(job)
                return
        self._left_out[choices[0].row] = reasons[0]

    def audit(self) -> Audit:
        """The audit that the config describes."""
        assert self.config is not None
        settings = OmegaConf.to_container(self.config.table, resolve=True)
        assert isinstance(settings, dict)
        return load_audit({str(name): value for name, value in settings.items()})

    def sweep(self, arguments: list[str]) -> Any:
        """Run the rows, then print the page and where it is."""
        returns = BasicSweeper.sweep(self, arguments)  # split_arguments has checked every run
        paths = [result.return_value for batch in returns for result in batch]
        records = {cell.row: read_record(Path(path)) for cell, path in zip(self._cells, paths, strict=True)}
        root = next(iter(records.values()))["config"]["store"]["root"]
        result = read_audit(self.audit(), records, Store(root), self._left_out)
        text = audit_page(result, shlex.join(["python", Path(sys.argv[0]).name, *sys.argv[1:]]))
        key = key_of("audit", sorted(record["key"] for record in records.values()))
        path = write_page(Path(root) / "pages" / f"audit-{key}.md", text)
        print(text)
        print(f"page: {path}", flush=True)
        return returns
