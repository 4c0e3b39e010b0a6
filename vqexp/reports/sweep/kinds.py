"""Which sweep a config asks for."""

from omegaconf import DictConfig

from vqexp.reports.spec.shape import check_choice
from vqexp.reports.spec.table import AUDIT, CALIBRATION
from vqexp.reports.sweep.audit import AuditSweep
from vqexp.reports.sweep.base import Sweep
from vqexp.reports.sweep.calibration import CalibrationSweep
from vqexp.reports.sweep.cells import CellSweep
from vqexp.reports.sweep.combinations import Combinations


def kind_of(config: DictConfig) -> type[Sweep]:
    """The sweep for `table=audit`, `table=calibration`, another table or a figure, or else for values.

    Raises `ConfigError` if both a table and a figure are asked for.
    """
    check_choice(config)
    table, figure = config.get("table"), config.get("figure")
    audits = {AUDIT: AuditSweep, CALIBRATION: CalibrationSweep}
    if table is not None and table.get("name") in audits:
        return audits[table.name]
    return Combinations if table is None and figure is None else CellSweep
