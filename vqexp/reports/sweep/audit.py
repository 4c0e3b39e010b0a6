"""The sweep behind `table=audit`: leaves out what makes no sense for the defense, and writes the page."""

import shlex
import sys
from collections.abc import Collection, Iterable, Sequence
from itertools import chain
from pathlib import Path

from hydra.core.override_parser.types import Override
from omegaconf import OmegaConf

from vqexp.audits.members import load_audit
from vqexp.audits.result import AuditResult, read_audit
from vqexp.audits.strength import at_strength
from vqexp.core.atomic import write_atomically
from vqexp.core.config import numbers
from vqexp.core.errors import ConfigError, MissingError, SenselessError
from vqexp.core.keys import key_of
from vqexp.core.places import place
from vqexp.core.store import Store
from vqexp.pipeline import prepare, read
from vqexp.reports.render.audit_page import audit_page
from vqexp.reports.spec.cell import TUNING, Cell
from vqexp.reports.spec.settings import to_overrides
from vqexp.reports.sweep.base import Sweep, check_labels_stay_true, shared_by_cells


class AuditSweep(Sweep):
    """The rows of an audit; a row takes the first of its adversaries that makes sense."""

    def choose(self, overrides: Sequence[Override]) -> list[list[str]]:
        """One job a row. What makes no sense is left out with its reason; any other bad setting is raised."""
        settings = OmegaConf.to_container(self.config.table, resolve=True)
        assert isinstance(settings, dict)
        self.audit = load_audit({str(name): value for name, value in settings.items()})
        shared = shared_by_cells(overrides)
        attempts, own = self.audit.attempts(), self.audit.multiples()  # these have a strength of their own
        cells = [cell for choices in attempts for cell in choices if cell.row not in own]
        check_labels_stay_true(overrides, [cell.settings for cell in cells])
        self.left_out: dict[str, str] = {}
        jobs: dict[str, list[str]] = {}
        wanted = alternatives(self.config.scale.audit.get("rows"))
        for choices in attempts:
            label = choices[0].row
            if wanted is not None and not any(part in label for part in chain(*wanted)):
                self.left_out[label] = f"scale={self.config.scale.name} has no time for it"
            elif job := self._first_sensible(choices, shared):
                jobs[label] = job
        for label, other in spared(wanted or (), jobs).items():
            self.left_out[label] = f"scale={self.config.scale.name} has no time for it beside {other}"
            del jobs[label]
        if not jobs:
            reasons = "; ".join(f"{label}: {reason}" for label, reason in self.left_out.items())
            raise ConfigError(f"table=audit has no row to run here ({reasons})")
        self.labels = list(jobs)
        return [
            [*job, f"place='{number} of {len(jobs)}'"] for number, job in enumerate(jobs.values(), start=1)
        ]

    def _first_sensible(self, choices: Sequence[Cell], shared: Sequence[str]) -> list[str] | None:
        """The job of the first choice that makes sense; None, and the row is left out, if none does."""
        reasons = []
        for cell in choices:
            try:
                job = self._job(cell, shared)
                prepare(self.compose(job), check_store=False)
            except SenselessError as error:
                reasons.append(str(error))
            except MissingError as error:
                if TUNING not in cell.settings:
                    raise
                reasons.append(str(error))  # there may be no images to train on
            else:
                return job
        self.left_out[choices[0].row] = reasons[-1]
        return None

    def _job(self, cell: Cell, shared: Sequence[str]) -> list[str]:
        """The overrides of a row; raises `SenselessError` if there is no such strength, or fine-tuning."""
        own = cell.overrides()
        multiple = self.audit.multiples().get(cell.row)
        if multiple is None:
            # what the command line says of the accuracies is not for a row of another metric
            other = "metric" in cell.settings
            return own + [text for text in shared if not (other and text.startswith("metric."))]
        if TUNING in cell.settings and self.config.get("fine_tuning") is not None:
            raise SenselessError("f is fine-tuned already")
        defense = numbers(OmegaConf.to_container(self.config.defense, resolve=True))
        at = at_strength(defense, multiple, self.config.dataset.shape)
        changed = {f"defense.{name}": value for name, value in at.items()}
        # in place of what the command line says of it; with `++` where the choice has no such setting
        told = {text.partition("=")[0].lstrip("+"): text.partition("=")[0] for text in shared}
        usual = {f"defense.{name}": f"defense.{name}" for name in defense}
        strength = {(usual | told).get(name, f"++{name}"): value for name, value in changed.items()}
        kept = [text for text in shared if text.partition("=")[0] not in strength]
        return [*own, *kept, *to_overrides(strength)]

    def check(self) -> None:
        """Done where the jobs were chosen."""

    def result(self, paths: Sequence[Path]) -> AuditResult:
        """What the records, one a job, show together."""
        records = {label: read(path) for label, path in zip(self.labels, paths, strict=True)}
        return read_audit(self.audit, records, Store(self.config.store.root), self.left_out)

    def finish(self, paths: Sequence[Path]) -> None:
        """Print the page and where it is."""
        text, path = self.write(self.result(paths), command())
        print(text)
        print(f"page: {path}", flush=True)

    def write(self, result: AuditResult, told: str) -> tuple[str, Path]:
        """Write the page into the store; returns it and its path. told: the command that it names."""
        text = audit_page(result, told)
        key = key_of("audit", sorted(finding.record.key for finding in result.findings.values()))
        path = place(self.config.store.root) / "pages" / f"audit-{key}.md"
        write_atomically(path, text.encode())
        return text, path


def command() -> str:
    """The command line of this process, as one types it: `python run.py ...`, or `vqexp ...` if installed."""
    program = Path(sys.argv[0])
    if program.name == "__main__.py":
        words = ["python", "-m", program.parent.name]
    else:
        words = ["python", program.name] if program.suffix == ".py" else [program.name]
    return shlex.join([*words, *sys.argv[1:]])


def alternatives(rows: Iterable[str | Iterable[str]] | None) -> list[list[str]] | None:
    """A scale's choice of rows, by parts of their labels: of several parts, the first that makes sense."""
    return None if rows is None else [[each] if isinstance(each, str) else list(each) for each in rows]


def spared(wanted: Iterable[Sequence[str]], labels: Collection[str]) -> dict[str, str]:
    """Labels that a part before theirs makes unnecessary, each with a label of that part."""
    found: dict[str, str] = {}
    for parts in wanted:
        groups = [[label for label in labels if part in label] for part in parts]
        first, *others = [group for group in groups if group] or [[]]
        found |= {label: first[0] for label in chain(*others) if label not in first}
    return found
