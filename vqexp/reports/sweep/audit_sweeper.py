"""The sweeper behind `table=audit`: leaves out what makes no sense for the defense, and writes the page."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Override
from omegaconf import OmegaConf

from vqexp.audits.members import Audit, load_audit
from vqexp.core.errors import ConfigError, SenselessError
from vqexp.core.keys import key_of
from vqexp.core.store import Store, write_atomically
from vqexp.pipeline import prepare, read_record
from vqexp.reports.render.audit_page import audit_page, read_audit
from vqexp.reports.spec.table import Cell
from vqexp.reports.sweep.sweeper import CheckedSweeper


class AuditSweeper(CheckedSweeper):
    """Runs the rows of an audit; a row takes the first of its adversaries that makes sense."""

    _jobs_by_label: dict[str, list[str]] | None = None
    _left_out: dict[str, str]

    def split_arguments(  # type: ignore[override]
        self, overrides: Sequence[Override], max_batch_size: int | None
    ) -> list[list[list[str]]]:
        """One job a row. What makes no sense is left out with its reason; any other bad setting is raised."""
        if self._jobs_by_label is None:  # asked for twice: to check the runs, and to run them
            shared = self.shared(overrides)
            self._jobs_by_label, self._left_out = {}, {}
            for choices in self.audit().attempts():
                self._choose(choices, shared)
            if not self._jobs_by_label:
                reasons = "; ".join(f"{label}: {reason}" for label, reason in self._left_out.items())
                raise ConfigError(f"table=audit has no row to run here ({reasons})")
        return [list(self._jobs_by_label.values())]

    def _choose(self, choices: Sequence[Cell], shared: list[str]) -> None:
        assert self._jobs_by_label is not None
        reasons = []
        for cell in choices:
            # what the command line says of the accuracies is not for a row of another metric
            other = any(text.startswith("metric=") for text in cell.overrides)
            job = cell.overrides + [text for text in shared if not (other and text.startswith("metric."))]
            try:
                prepare(self.compose(job), check_store=False)
            except SenselessError as error:
                reasons.append(str(error))
            else:
                self._jobs_by_label[cell.row] = job
                return
        self._left_out[choices[0].row] = reasons[0]

    def check(self, jobs: list[list[str]]) -> None:
        """Done where the jobs were chosen."""

    def audit(self) -> Audit:
        """The audit that the config describes."""
        assert self.config is not None
        settings = OmegaConf.to_container(self.config.table, resolve=True)
        assert isinstance(settings, dict)
        return load_audit({str(name): value for name, value in settings.items()})

    def sweep(self, arguments: list[str]) -> Any:
        """Run the rows, then print the page and where it is."""
        returns = super().sweep(arguments)
        assert self.config is not None
        if self.config.dry_run:
            return returns
        assert self._jobs_by_label is not None
        paths = [Path(result.return_value) for batch in returns for result in batch]
        records = {label: read_record(path) for label, path in zip(self._jobs_by_label, paths, strict=True)}
        root = Path(self.config.store.root)
        result = read_audit(self.audit(), records, Store(root), self._left_out)
        text = audit_page(result, shlex.join(["python", Path(sys.argv[0]).name, *sys.argv[1:]]))
        key = key_of("audit", sorted(record["key"] for record in records.values()))
        path = root / "pages" / f"audit-{key}.md"
        write_atomically(path, text.encode())
        print(text)
        print(f"page: {path}", flush=True)
        return returns
