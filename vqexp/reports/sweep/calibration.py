"""The sweep behind `table=calibration`: an audit of each subject, and what became of their verdicts."""

from collections.abc import Sequence
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import OmegaConf, open_dict

from vqexp.audits.calibration import judge_audit, load_calibration
from vqexp.core.atomic import write_atomically
from vqexp.core.config import CONF
from vqexp.core.errors import ConfigError, MissingError
from vqexp.core.keys import key_of
from vqexp.core.places import place
from vqexp.reports.render.calibration import calibration_page, keep
from vqexp.reports.spec.choices import read_settings
from vqexp.reports.spec.settings import from_overrides
from vqexp.reports.spec.table import AUDIT
from vqexp.reports.sweep.audit import AuditSweep, command
from vqexp.reports.sweep.base import Sweep, check_labels_stay_true, shared_by_cells
from vqexp.reports.sweep.composer import composer


class CalibrationSweep(Sweep):
    """The rows of the audits of all subjects, one audit after the other.

    Subjects whose data or weights are not on this machine are left out, with a line that says why.
    """

    def choose(self, overrides: Sequence[Override]) -> list[list[str]]:
        """One job a row of each audit."""
        settings = OmegaConf.to_container(self.config.table, resolve=True)
        assert isinstance(settings, dict)
        self.table = load_calibration({str(name): value for name, value in settings.items()})
        shared, missing = shared_by_cells(overrides), ""
        subjects = self.table.subjects()
        check_labels_stay_true(overrides, [from_overrides(subject.overrides) for subject in subjects])
        self.audits = []
        for subject in subjects:
            try:
                self.audits.append((subject, self._audit([*subject.overrides, *shared])))
            except MissingError as error:
                missing = str(error)
                print(f"left out, {subject.label}: {missing}", flush=True)
        if not self.audits:
            raise ConfigError(missing)
        return [job for _, audit in self.audits for job in audit.jobs]

    def _audit(self, told: list[str]) -> AuditSweep:
        """The audit of one subject. told: its settings, then those of the command line."""
        base = self.compose(told)
        with open_dict(base):
            base.table = read_settings(CONF / "table" / f"{AUDIT}.yaml")
            if self.table.attacks is not None:
                base.scale.audit.rows = self.table.attacks
        return AuditSweep(base, OverridesParser.create().parse_overrides(told), composer(base, told))

    def check(self) -> None:
        """Done where the jobs were chosen."""

    def finish(self, paths: Sequence[Path]) -> None:
        """Write each audit's page; print the verdicts and where the pages are."""
        root, judged, pages = place(self.config.store.root), [], {}
        for subject, audit in self.audits:
            own, paths = paths[: len(audit.jobs)], paths[len(audit.jobs) :]
            result = audit.result(own)
            judged.append(judge_audit(subject, result, command()))
            _, pages[subject.label] = audit.write(result, command())
        keep(judged, root)
        text = calibration_page(judged)
        path = root / "pages" / f"calibration-{key_of(*(str(page) for page in pages.values()))}.md"
        write_atomically(path, text.encode())
        print(text)
        for label, page in pages.items():
            print(f"{label}: {page}")
        print(f"page: {path}", flush=True)
