"""The command line: bad input is one line and exit status 2, with nothing written; runs end with a record."""

import json
import re
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from command_line import called
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import OmegaConf

from hydra_plugins.vqexp_sweepers import CheckedSweeper
from vqexp import results
from vqexp.classifiers import resnet18, save_checkpoint
from vqexp.reports.sweep.audit import command

BAD = {
    "defense=foo": "none, own, prd, randdisc",
    "atack=pgd": "atack is no setting; there is adversary, attack, cell, classifier",
    "defense.kk=3": "defense.kk is no setting; there is backend, beta, init, k, ",
    "attack.eps=-0.1": "attack.eps is -0.1; it must be a number >= 0",
    "attack.steps=0": "it must be an integer >= 1",
    "attack.norm=l7": "linf, l2",
    "attack.batch_size=0": "it must be an integer >= 1",
    "defense.k=0": "defense.k is 0; it must be an integer >= 1",
    "defense.k=2.5": "it must be an integer >= 1",
    "defense.k=many": "it must be an integer >= 1",
    "defense.k=50": "at most 49, the number of 2 x 2 patches of a 8 x 8 image",
    "defense.s=9": "at most 8, the image being 8 x 8",
    "defense.sigma=-1": "defense.sigma is -1",
    "defense.beta=-1": "defense.beta is -1",
    "defense.init=foo": "random, k-means++",
    "defense._target_=nowhere.Nothing": "cannot be imported",
    "defense._target_=json.dumps": "defense",
    "+defense.colour=3": "defense has no colour",
    "defense.k=${nowhere}": "nowhere",
    "metric.runs=0": "metric.runs is 0",
    "dataset.n=0": "at least 1",
    "dataset=cifar10": "dataset.download=true",
    "training.epochs=0": "epochs",
    "classifier.checkpoint=nowhere.safetensors": "nowhere.safetensors",
    "device=tpu": "auto, cpu, cuda",
    "precision=half": "float32, bfloat16",
    "compile=fast": "compile is 'fast'; it must be true or false",
    "seed=-1": "seed is -1",
    "attack=[": "attack",
    "attack=foolbox": "attack.name is not set; add attack.name=VALUE",
    "dataset=files": "dataset.shape is not set; add dataset.shape=VALUE",
    "dataset=own": "dataset._target_ is not set",
}


@pytest.mark.parametrize("argument", BAD)
def test_bad_input_is_one_line_and_writes_nothing(vqexp, argument, tmp_path):
    status, out, err = vqexp(argument)
    assert status == 2
    assert BAD[argument] in err
    assert err.startswith("vqexp: ")
    assert err.count("\n") == 1
    assert "Traceback" not in err
    assert out == ""
    assert list(tmp_path.iterdir()) == []


def test_one_bad_run_of_a_sweep_stops_all_before_the_first(vqexp, tmp_path):
    status, out, err = vqexp("-m", "scale=smoke", "defense.k=4,400")
    assert (status, out) == (2, "")
    assert "defense.k is 400" in err
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_single_run_is_previewed_as_those_of_a_sweep_are(vqexp, cpu_time, monkeypatch, store):
    monkeypatch.delenv("VQEXP_DATA", raising=False)
    status, out, err = vqexp("defense.k=400", "dry_run=true", store=store)
    assert (status, out) == (2, "")
    assert err.startswith("vqexp: defense.k is 400; it must be at most")
    status, out, _ = vqexp("scale=smoke", "dataset=cifar10", "dry_run=true", store=store)
    assert status == 0
    assert out.startswith("cannot run here (1 of 1): cifar10 needs dataset.root or VQEXP_DATA")
    assert out.endswith("missing (not here)\n")
    run = ("scale=smoke", "attack=none", "metric.runs=1", "classifier.width=4", "training.epochs=1")
    assert re.fullmatch(r"missing \(\d+ s\)\n", vqexp(*run, "dry_run=true", store=store)[1])
    assert vqexp(*run, store=store)[0] == 0
    assert vqexp(*run, "dry_run=true", store=store)[1] == "cached\n"


def test_a_sweep_is_every_combination_of_the_values(vqexp):
    status, out, _ = vqexp("-m", "scale=smoke", "defense=prd,swrd", "defense.k=choice(2,4)", "dry_run=true")
    assert status == 0
    total, *lines = out.splitlines()
    assert total.startswith("4 runs take about ")
    jobs = [re.sub(r" \(\d.*?\)", "", line.split(" store.root=")[0]) for line in lines]
    assert jobs == [
        f"missing: scale=smoke defense={name} defense.k={k} dry_run=True"
        for name in ("prd", "swrd")
        for k in (2, 4)
    ]
    status, out, _ = vqexp("-m", "hydra.sweeper.params={seed:'range(3)'}", "seed=7", "dry_run=true")
    assert (status, len(out.splitlines())) == (0, 1)  # the command line comes last
    status, out, _ = vqexp("-m", "hydra.sweeper.params={seed:'range(3)'}", "dry_run=true")
    assert re.findall(r"seed=\d", out) == ["seed=0", "seed=1", "seed=2"]


def test_a_sweep_over_an_interval_is_refused(vqexp):
    status, out, err = vqexp("-m", "defense.sigma=interval(0,1)")
    assert (status, out) == (2, "")
    assert err == "vqexp: defense.sigma=interval(0,1) has no list of values; give choices or a range\n"


def test_the_launcher_gets_the_runs_in_batches(tmp_path):
    class Launcher:
        def launch(self, jobs, initial_job_idx):
            return [JobReturn(_return_value=job, status=JobStatus.COMPLETED) for job in jobs]

    jobs = [["seed=0"], ["seed=1"], ["seed=2"]]
    for size, batches in ((2, [jobs[:2], jobs[2:]]), (None, [jobs])):
        sweeper = CheckedSweeper(max_batch_size=size)
        sweeper.config = OmegaConf.create({"hydra": {"sweep": {"dir": str(tmp_path / "sweep")}}})
        sweeper.launcher = Launcher()
        found = sweeper.launch(jobs)
        assert [[result.return_value for result in batch] for batch in found] == batches


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("run.py", "python run.py -m 'table.without=[Square]'"),
        ("/usr/bin/vqexp", "vqexp -m 'table.without=[Square]'"),
        ("/lib/vqexp/__main__.py", "python -m vqexp -m 'table.without=[Square]'"),
    ],
)
def test_a_page_names_the_command_that_makes_it(monkeypatch, program, expected):
    monkeypatch.setattr(sys, "argv", [program, "-m", "table.without=[Square]"])
    assert command() == expected


def test_an_unwritable_store(vqexp, tmp_path):
    (tmp_path / "file").write_text("in the way")
    status, _, err = vqexp("scale=smoke", store=tmp_path / "file" / "store")
    assert status == 2
    assert "not writable" in err
    assert err.count("\n") == 1


def test_a_checkpoint_for_another_architecture(vqexp, tmp_path):
    save_checkpoint(resnet18((1, 8, 8), 10), tmp_path / "resnet.safetensors")
    status, _, err = vqexp(f"classifier.checkpoint={tmp_path / 'resnet.safetensors'}")
    assert status == 2
    assert "resnet.safetensors" in err
    assert err.count("\n") == 1


def test_a_truncated_parquet(vqexp, tmp_path):
    path = tmp_path / "data" / "mnist" / "test.parquet"
    path.parent.mkdir(parents=True)
    images = pa.array([{"bytes": b"x" * 1000, "path": "0"}] * 5)
    pq.write_table(pa.table({"image": images, "label": [1] * 5}), path)
    path.write_bytes(path.read_bytes()[:-40])
    status, _, err = vqexp("dataset=mnist", f"dataset.root={tmp_path / 'data'}")
    assert status == 2
    assert "test.parquet" in err
    assert err.count("\n") == 1
    assert not (tmp_path / "store").exists()


def test_a_fault_during_work_exits_with_1(vqexp, monkeypatch, tmp_path):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("vqexp.core.store.os.fsync", full)
    status, _, err = vqexp("scale=smoke", "defense=none", "attack=none", "training.epochs=1")
    assert status == 1
    assert "the disk is full" in err
    assert err.count("\n") == 1
    assert not list(tmp_path.rglob("*.safetensors"))


def test_a_run_ends_with_its_record(vqexp, tmp_path):
    status, out, err = vqexp("scale=smoke", "attack=fgsm", "training.epochs=1")
    assert (status, err) == (0, "")
    last = out.rstrip("\n").split("\n")[-1]
    assert last.startswith("record: ")
    record = json.loads(Path(last.removeprefix("record: ")).read_text())
    assert record["smoke"] is True
    assert "does not know the defense" in out
    frame = results.load(tmp_path / "store")
    assert set(frame["key"]) == {record["key"]}
    robust = record["metrics"]["robust_accuracy"]
    assert frame.set_index("metric")["mean"]["robust_accuracy"] == robust["mean"]
    assert robust["n"] == 8
    assert robust["runs"] == 2
    assert robust["ci95"][0] <= robust["mean"] <= robust["ci95"][1]


def test_a_defense_of_the_users_own(vqexp, tmp_path, monkeypatch):
    (tmp_path / "my_defense.py").write_text(
        "import torch\n"
        "class Round(torch.nn.Module):\n"
        "    def forward(self, images):\n"
        "        return (images * 7).round() / 7\n"
    )
    monkeypatch.chdir(tmp_path)
    status, out, err = vqexp("scale=smoke", "training.epochs=1", "defense._target_=my_defense.Round")
    assert (status, err) == (0, "")
    assert "Round against PGD" in out


@pytest.mark.trains
def test_a_table_runs_its_cells_and_shows_reported_beside_measured(vqexp, tmp_path):
    arguments = ["table.common=['adversary=oblivious']", "table.only_rows=[RandDisc]", "training.epochs=1"]
    status, out, err = vqexp("-m", "table=vq_table2", "scale=smoke", *arguments)
    assert (status, err) == (0, "")
    assert "10.82 (0.29)" in out
    records = results.records(tmp_path / "store")
    assert sorted(record.reported.column for record in records) == ["autoattack", "natural", "pgd"]
    frame = results.load(tmp_path / "store")
    assert sorted(frame["reported"].dropna()) == pytest.approx([0.1082, 0.1392, 0.8958])
    # digits have too few patches for the table's own
    assert {record.config["defense"]["k"] for record in records} == {4}
    # one classifier, one set of PGD images and one of AutoAttack's
    assert len(list((tmp_path / "store" / "classifier").iterdir())) == 1
    assert len(list((tmp_path / "store" / "adversarial").iterdir())) == 2


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--help"], ["swrd", "python run.py defense=swrd"]),
        (["--cfg", "job"], ["_target_: vqexp.defenses.SwRD"]),
    ],
)
def test_help_and_config_are_readable(arguments, expected):
    status, shown, _ = called("run.py", *arguments)
    assert status == 0
    assert all(text in shown for text in expected)
    assert len(shown.splitlines()) < 160
    assert torch.__version__ not in shown
