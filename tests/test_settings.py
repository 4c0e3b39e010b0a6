"""A cell's settings: read from overrides, written as them, and the label that a run is told."""

import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from vqexp.core.config import CONF, register_resolvers
from vqexp.core.errors import ConfigError
from vqexp.reports.spec.choices import Loader
from vqexp.reports.spec.figure import figure_path, read_figure
from vqexp.reports.spec.made_for import made_for
from vqexp.reports.spec.settings import from_overrides, group_of, to_overrides
from vqexp.reports.spec.table import all_tables

VALUES = [None, True, 3, 0.02, 1e-6, "a", "null", "k-means++", "8/255", "it's", "a\\", "a\\'b", "", "1e3"]
VALUES += ["${div:16,255}", "${scale.n}", "${least:${scale.n},${scale.grid.n}}", "T/A (s=1, k=2)/b - c"]
VALUES += [[1, 2.5, "x y"], {"a": 1, "b": "c d"}]


@pytest.mark.parametrize("value", VALUES, ids=str)
def test_hydra_reads_what_is_written(value):
    (text,) = to_overrides({"defense.x": value})
    found = OverridesParser.create().parse_override(text).value()
    assert (found, type(found)) == (value, type(value))
    assert from_overrides([text]) == {"defense.x": value}


def test_the_last_of_several_counts_and_prefixes_stay():
    texts = ["defense=prd", "+adversary.training.epochs=2", "a@b.c=d", "defense=swrd"]
    settings = from_overrides(texts)
    assert settings == {"defense": "swrd", "+adversary.training.epochs": 2, "a@b.c": "d"}
    assert to_overrides(settings) == ["defense=swrd", *texts[1:3]]
    assert [group_of(name) for name in settings] == ["defense", "adversary", "a@b"]
    # Hydra wants an interpolation within another in quotes
    assert from_overrides(["n=${first:${scale.n},1}"]) == {"n": "${first:${scale.n},1}"}


@pytest.mark.parametrize("text", ["defense", "=3", "a=[1"])
def test_what_is_no_setting_is_refused(text):
    with pytest.raises(ConfigError, match="cannot read"):
        from_overrides([text])


def test_a_run_finds_what_is_reported_for_its_cell():
    """By its label: in tables and figures, with a slash in a row, and of a row that the command line made."""
    figure = read_figure(figure_path("vq_figure1")).table
    for table in (*all_tables(), figure):
        for cell in table.cells()[:5]:
            assert made_for(cell.label) == cell.made_for
    found = made_for("vq_table2/swRD (s=3, k=25)/pgd")
    assert (found.metric, found.source, found.std) == ("robust_accuracy", "journal Table 2", 0.21)
    mine = made_for("vq_table2/mine/yours/pgd")
    assert (mine.row, mine.column, mine.metric, mine.mean) == ("mine/yours", "pgd", "robust_accuracy", None)
    audit = made_for("audit/PGD, margin/robust")
    assert (audit.row, audit.metric, audit.source) == ("PGD, margin", "robust_accuracy", "")
    assert made_for(None) is None
    for wrong in ("nowhere/a/b", "vq_table2", 3):
        with pytest.raises(ConfigError, match="it must be TABLE/ROW/COLUMN"):
            made_for(wrong)


def test_resolvers_take_numbers_as_people_write_them():
    register_resolvers()
    text = {"eps": "8/255", "twice": "${mul:2,${.eps}}", "least": "${least:null,${.eps},1}"}
    found = OmegaConf.to_container(OmegaConf.create(text), resolve=True)
    assert found["twice"] == pytest.approx(16 / 255)
    assert found["least"] == pytest.approx(8 / 255)


def test_every_file_of_conf_is_read_as_hydra_reads_it():
    for path in CONF.rglob("*.yaml"):
        found = yaml.load(path.read_text(), Loader) or {}
        assert repr(found) == repr(OmegaConf.to_container(OmegaConf.load(path))), path
