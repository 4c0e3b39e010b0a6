"""The flow: what is keyed by what, what is shared, what survives a kill, and that the numbers are right."""

import importlib.metadata
import multiprocessing
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from vqexp import defend, results
from vqexp.core.config import resolved
from vqexp.core.draws import Draw
from vqexp.core.errors import ConfigError
from vqexp.core.store import Store
from vqexp.defenses import SwRD
from vqexp.pipeline import prepare, read, run
from vqexp.pipeline.stages import Stages
from vqexp.reports.sweep.preview import Cache

ROOT = Path(__file__).parents[1]


@pytest.fixture
def config(config):
    """Compose a smoke-scale config on the module's store, or on `root`."""
    return partial(config, "dataset.n=40")


def count(store, kind):
    return len(list((Path(store) / kind).glob("*.safetensors")))


@pytest.mark.trains
def test_oblivious_images_serve_every_defense_and_every_draw(config, store):
    run(config("attack=fgsm"))
    attacks, classifiers = count(store, "adversarial"), count(store, "classifier")
    assert attacks == 3  # 40 images in chunks of 16
    for overrides in (["defense=prd"], ["defense.k=8"], ["defense=none"], ["metric.runs=3"]):
        run(config("attack=fgsm", *overrides))
    assert (count(store, "adversarial"), count(store, "classifier")) == (attacks, classifiers)


def test_more_images_reuse_whole_chunks(config, store):
    run(config("attack=fgsm", "seed=3", "dataset.n=32"))
    before = count(store, "adversarial")
    run(config("attack=fgsm", "seed=3", "dataset.n=60"))
    assert count(store, "adversarial") - before == 2  # images 33 to 48, and 49 to 60


@pytest.mark.parametrize(
    "override",
    [
        "attack.eps=0.3",
        "attack.norm=l2",
        "seed=1",
        "dataset.seed=1",
        "training.epochs=3",
        "precision=bfloat16",
    ],
)
def test_what_determines_the_images_is_in_their_key(config, override):
    base, other = (Stages(prepare(config("attack=fgsm", *more))) for more in ([], [override]))
    assert not set(base.adversarial_keys) & set(other.adversarial_keys)


@pytest.mark.parametrize(
    "override", ["defense.k=9", "defense=prd", "metric.runs=7", "defense.memory_limit=3", "scale.name=x"]
)
def test_what_does_not_determine_the_images_is_not_in_their_key(config, override):
    base, other = (Stages(prepare(config("attack=fgsm", *more))) for more in ([], [override]))
    assert base.adversarial_keys == other.adversarial_keys


def test_the_record_agrees_with_a_direct_computation(config):
    settings = config("attack=pgd", "metric.runs=3")
    record = read(run(settings))
    stages = Stages(prepare(settings))
    images = torch.cat([stages.adversarial_images(index) for index in range(3)])
    ids, labels = stages.images.ids, stages.images.labels
    clean = stages.images.pixels(slice(None))
    assert (images - clean).abs().max() <= settings.attack.eps + 1e-6
    defense = SwRD(
        **{name: settings.defense[name] for name in ("s", "k", "sigma", "tau", "beta", "pixel_max", "seed")}
    )
    model = defend(stages.classifier, defense)
    with torch.no_grad():
        # one image at a time: the result does not depend on the batch
        correct = torch.stack(
            [
                torch.cat([model(images[i : i + 1], Draw("report", r, ids[i : i + 1])) for i in range(40)])
                .argmax(1)
                .eq(labels)
                for r in range(3)
            ]
        )
        alone = stages.classifier(clean).argmax(1).eq(labels)
    robust = record.metrics["robust_accuracy"]
    assert robust.mean == pytest.approx(correct.double().mean().item())
    assert robust.std == pytest.approx(correct.double().mean(1).std().item())
    assert (robust.runs, robust.n) == (3, 40)
    on_correct = record.metrics["robust_accuracy_on_correct"]
    assert on_correct.mean == pytest.approx(correct[:, alone].double().mean().item())
    counts = Store(stages.experiment.store.root).load("counts", record.key)
    assert counts.tensors["adversarial_report_correct"].tolist() == correct.sum(0).tolist()
    assert counts.tensors["ids"].tolist() == ids.tolist()


def test_low_precision_is_the_attacks_alone(config, tmp_path):
    """What it found is judged in float32, and only such a record answers for such a run."""
    low = config("attack=pgd", "adversary=ste", "precision=bfloat16", root=tmp_path)
    record, stages = read(run(low)), Stages(prepare(low))
    images, labels = torch.cat([stages.inputs(i, True) for i in range(3)]), stages.images.labels
    ids = stages.images.ids
    model = defend(stages.classifier, stages.defense)
    runs = record.metrics["robust_accuracy"].runs
    right = [(model(images, Draw("report", i, ids)).argmax(1) == labels).float().mean() for i in range(runs)]
    assert record.metrics["robust_accuracy"].mean == pytest.approx(torch.stack(right).mean().item())
    full = Stages(prepare(config("attack=pgd", "adversary=ste", root=tmp_path)))
    assert not torch.equal(full.inputs(0, True), stages.inputs(0, True))
    assert Cache(tmp_path).has(stages.experiment.config)
    assert not Cache(tmp_path).has(full.experiment.config)


def test_select_draws_are_others_than_report_draws(config):
    stages = Stages(prepare(config("attack=none")))
    select, report = (
        stages.evaluate(adversarial=False, defended=True, purpose=purpose, runs=2).margin
        for purpose in ("select", "report")
    )
    assert not torch.equal(select, report)
    assert not torch.equal(report[0], report[1])


def test_a_deterministic_defense_is_judged_once(config):
    record = read(run(config("attack=fgsm", "defense=none", "metric.runs=5")))
    assert record.metrics["robust_accuracy"].runs == 1
    robust, alone = (record.metrics[name] for name in ("robust_accuracy", "undefended_accuracy"))
    assert replace(robust, title="") == replace(alone, title="")


def test_the_default_attack_breaks_the_undefended_digits_classifier(config, tmp_path):
    """At the eps of the embedded default f alone falls under 5 %, already after a third of its epochs."""
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        overrides = ["training.epochs=10", "metric.runs=1", f"store.root={tmp_path}"]
        settings = compose("config", overrides=overrides)
    record = read(run(settings))
    assert record.metrics["undefended_accuracy"].mean < 0.05
    assert record.metrics["undefended_natural_accuracy"].mean > 0.95
    assert record.metrics["undefended_accuracy"].n == 360
    assert record.smoke is False


def test_the_record_says_where_it_comes_from(config):
    record = read(run(config("attack=autoattack", "dataset.n=8")))
    provenance = record.provenance
    assert set(provenance.seconds) == {"classifier", "adversarial", "evaluation"}
    assert provenance.libraries["torch"] == importlib.metadata.version("torch")
    assert record.classifier["training"]["epochs"] == 2
    assert len(record.artifacts["adversarial"]) == 1
    assert "running apgd-ce" in record.facts["logs"][0]
    assert 0 <= record.facts["violation"] <= 1e-6
    assert {"autoattack_flags", "robust_accuracy_on_perturbed"} <= set(record.metrics)


def test_a_second_run_computes_nothing_and_changes_nothing(config, store):
    settings = config("attack=fgsm", "defense.k=5")
    path = run(settings)
    before = {file: file.stat().st_mtime_ns for file in Path(store).rglob("*") if file.is_file()}
    assert run(settings) == path
    after = {file: file.stat().st_mtime_ns for file in Path(store).rglob("*") if file.is_file()}
    assert after == before


def test_the_order_in_which_chunks_arrive_does_not_matter(config, monkeypatch):
    settings = config("attack=fgsm", "defense.k=6")
    path, in_order = run(settings), Store.fetch_all
    monkeypatch.setattr(Store, "fetch_all", lambda self, jobs: iter(list(in_order(self, jobs))[::-1]))
    assert run(settings) == path


@pytest.mark.trains
def test_a_killed_run_resumes_and_two_workers_finish_together(config, tmp_path):
    """Killed during the attack, then taken up by two workers at once: the same numbers as in one go."""
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["vqexp.pipeline", "torch._dynamo"])  # slow to import, so but once

    def settings(root):
        return resolved(config("attack.batch_size=1", root=tmp_path / root))

    def start():
        worker = processes.Process(target=run, args=(OmegaConf.create(settings("shared")),))
        worker.start()
        return worker

    killed = start()
    folder = tmp_path / "shared" / "adversarial"
    while killed.is_alive() and len(list(folder.glob("*.safetensors"))) < 3:
        time.sleep(0.005)
    killed.kill()
    killed.join()
    made = {path: path.stat().st_mtime_ns for path in folder.glob("*.safetensors")}
    assert 3 <= len(made) < 40
    for worker in [start(), start()]:
        worker.join()
        assert worker.exitcode == 0
    (shared,) = results.records(tmp_path / "shared")
    alone = read(run(OmegaConf.create(settings("alone"))))
    assert shared.key == alone.key
    assert shared.metrics == alone.metrics
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in made.items())


def test_metrics_are_a_list(config):
    """Of one run, on the same images and draws; the first names its numbers, the others stand beside them."""
    overrides = ("metric=[accuracy,certified,gradients]", "defense=prd", "adversary=exact")
    path = run(config(*overrides, "metrics.certified.draws=10"))
    record = read(path)
    assert {"robust_accuracy", "certified_accuracy", "natural_gradient_norm"} <= set(record.metrics)
    alone = read(run(config("metric=certified", "metric.draws=10", *overrides[1:])))
    for name, estimate in alone.metrics.items():
        assert record.metrics[name if name != "robust_accuracy" else "certified.robust_accuracy"] == estimate
    accuracy = read(run(config(*overrides[1:])))
    assert all(record.metrics[name] == estimate for name, estimate in accuracy.metrics.items())
    assert record.config["metrics"]["certified"]["draws"] == 10
    assert set(record.provenance.versions) >= {"metric", "metrics.certified", "metrics.gradients"}
    assert accuracy.key != record.key
    with pytest.raises(ConfigError, match="certified has no drawz"):
        prepare(config(*overrides, "+metrics.certified.drawz=10"))
    with pytest.raises(ConfigError, match="choose an attack other than none"):
        prepare(config(*overrides, "attack=none"))
