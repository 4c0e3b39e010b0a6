"""Runs of a table on Hydra's launchers: each gives the records of a single process, bit for bit."""

import pytest
from conftest import run_cli
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins

from vqexp import results
from vqexp.classifiers import save_checkpoint

TABLE = (
    *("-m", "table=vq_table2", "scale=smoke", "classifier.width=16"),
    *("table.only_rows=[RandDisc,'pRD (s=2, k=25)']", "table.only_columns=[natural]"),
)
ROWS = ["RandDisc (s=1, k=25)", "pRD (s=2, k=25)"]
LAUNCHERS = {
    "hydra_joblib_launcher": ["joblib", "hydra.launcher.n_jobs=2"],
    "hydra_submitit_launcher": ["submitit_local"],
    "hydra_ray_launcher": [
        *("ray", "hydra.launcher.ray.init.address=local", "+hydra.launcher.ray.init.num_cpus=1"),
        *("+hydra.launcher.ray.init.include_dashboard=false", "+hydra.launcher.ray.remote.num_cpus=1"),
    ],
}


def found(store):
    """What the records of a store say of the runs, by key."""
    return {record.key: (record.metrics, record.artifacts, record.facts) for record in results.records(store)}


@pytest.fixture(scope="module")
def table(digit_classifier, tmp_path_factory):
    """The command, with a trained f: no other process has to import what trains."""
    path = tmp_path_factory.mktemp("checkpoint") / "f.safetensors"
    save_checkpoint(digit_classifier, path)
    return *TABLE, f"classifier.checkpoint={path}"


@pytest.fixture(scope="module")
def expected(table, store):
    """What the same command finds in this process."""
    assert run_cli(*table, store=store)[0] == 0
    return found(store)


@pytest.mark.parametrize("plugin", LAUNCHERS)
def test_cells_on_other_processes_give_the_same_records(
    vqexp, tmp_path, monkeypatch, table, expected, plugin
):
    pytest.importorskip(f"hydra_plugins.{plugin}", reason="needs the extra `cluster`")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # as this process has
    monkeypatch.setenv("RAY_worker_niceness", "0")  # else Ray's workers give way to other tests
    name, *settings = LAUNCHERS[plugin]
    try:
        status, out, _ = vqexp(*table, f"hydra/launcher={name}", *settings, store=tmp_path / name)
    finally:
        if name == "ray":
            __import__("ray").shutdown()
    assert status == 0
    # Ray forwards what its workers print when it likes, now and then after the table.
    shown = [line.split("│")[1].strip() for line in out.splitlines() if "│ natural " in line]
    assert [name for name in shown if name in ROWS] == ROWS
    assert len(expected) == 2
    assert found(tmp_path / name) == expected


def test_settings_that_a_launcher_refuses_are_one_line(vqexp):
    status, out, err = vqexp("-m", "scale=smoke", "hydra/launcher=joblib", "hydra.launcher.n_jobs=0")
    assert (status, out) == (2, "")
    assert err == "vqexp: the launcher fails: n_jobs == 0 in Parallel has no meaning\n"


@pytest.mark.parametrize(("name", "base"), [("slurm", "submitit_slurm"), ("ray_cluster", "ray")])
def test_a_launcher_that_is_not_installed_is_one_line(vqexp, tmp_path, monkeypatch, name, base):
    Plugins.instance()  # which fill the store of configs
    monkeypatch.delitem(ConfigStore.instance().repo["hydra"]["launcher"], f"{base}.yaml", raising=False)
    status, out, err = vqexp("-m", "scale=smoke", "defense=swrd,prd", f"hydra/launcher={name}")
    told = f"vqexp: hydra/launcher={name} needs an extra, pip install 'vqexp[cluster]'\n"
    assert (status, out, err) == (2, "", told)
    assert list(tmp_path.iterdir()) == []
