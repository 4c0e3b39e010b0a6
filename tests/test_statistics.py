"""BatchNorm by the statistics of the batch: an image is judged among its neighbours, and among no others."""

from functools import partial

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from vqexp.adversaries import RandomView
from vqexp.attacks import PGD
from vqexp.classifiers import BatchStatistics, small_cnn
from vqexp.core.config import CONF
from vqexp.core.errors import ConfigError
from vqexp.core.sampling import Sampler
from vqexp.defenses import PRD
from vqexp.pipeline import prepare, read, run
from vqexp.pipeline.stages import Stages
from vqexp.reports.spec.cell import Cell
from vqexp.reports.spec.fill import Index
from vqexp.reports.spec.settings import from_overrides


@pytest.fixture
def config(config):
    """Compose a smoke-scale config with batches of 8 images."""
    return partial(config, "dataset.n=24", "attack=pgd", "attack.batch_size=8")


def network():
    """A network whose running statistics are not those of any batch here."""
    torch.manual_seed(0)
    made = small_cnn((1, 8, 8), 10).eval()
    for layer in made.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.uniform_(-1, 1)
            layer.running_var.uniform_(0.5, 2)
    return made


class Recorded(nn.Module):
    """f by batch statistics, with the sizes of the batches it saw."""

    def __init__(self):
        super().__init__()
        self.f, self.sizes = BatchStatistics(network()), []

    def forward(self, images):
        self.sizes.append(len(images))
        return self.f(images)


def test_logits_are_those_of_training_mode_and_nothing_moves():
    f, images = network(), torch.rand(6, 1, 8, 8)
    by_batch = BatchStatistics(f)
    before = {name: value.clone() for name, value in f.state_dict().items()}
    found = by_batch.eval()(images)
    assert all(torch.equal(before[name], value) for name, value in f.state_dict().items())
    torch.testing.assert_close(found, f.train()(images))
    assert not torch.allclose(by_batch(images[:3]), found[:3])  # with other neighbours


def test_a_classifier_without_batch_norm_is_refused():
    with pytest.raises(ConfigError, match="BatchNorm"):
        BatchStatistics(nn.Linear(2, 2))


def test_an_attack_and_an_evaluation_never_see_more_or_fewer_images_than_the_batch():
    model, images, labels = Recorded(), torch.rand(5, 1, 8, 8), torch.arange(5)
    PGD(eps=0.1, steps=2, step_size=0.05).run(model, images, labels, seed=0)
    list(Sampler(0).draws(PRD(s=2, k=2, sigma=0.02, tau=0.02).wrap(model), images, labels, "report", 3))
    view = RandomView(PRD(s=2, k=2, sigma=0.02, tau=0.02).wrap(model), samples=4, memory_limit=1e-6)
    view.start(0, labels)
    view.gradient(images, labels, partial(cross_entropy, reduction="none"))
    assert len(model.sizes) > 7
    assert set(model.sizes) == {5}


def test_the_record_agrees_with_a_direct_computation(config):
    experiment = prepare(config("classifier.statistics=batch", "defense=none", "metric.runs=1"))
    stages = Stages(experiment)
    right = []
    for rows in stages.chunks:
        logits = stages.network.train()(stages.images.pixels(rows))
        right.append(logits.argmax(1) == stages.images.labels[rows])
    found = read(run(config("classifier.statistics=batch", "defense=none", "metric.runs=1")))
    assert found.metrics["natural_accuracy"].mean == pytest.approx(torch.cat(right).float().mean().item())
    assert any("judged" in text for text in found.facts["depends_on_batch"])


def test_the_adversary_attacks_the_f_that_is_judged_unless_told_otherwise(config):
    def keys(*overrides):
        stages = Stages(prepare(config("classifier.width=8", *overrides)))
        return stages.adversarial_keys, stages.classifier_key

    running, f = keys()
    batch, same = keys("classifier.statistics=batch")
    assert (f, set(running) & set(batch)) == (same, set())
    assert keys("classifier.statistics=batch", "adversary.statistics=running")[0] == running
    assert keys("adversary.statistics=batch")[0] == batch


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["attack.batch_size=1"], "batch_size is 1"),
        (["dataset.n=25"], "the last one is alone"),
        (["defense=random_crops"], "calls f in its own way"),
        (["classifier=convex"], "classifier.statistics=batch needs a classifier with BatchNorm"),
        (["classifier.statistics=mean"], "it must be one of running, batch"),
        (["adversary.statistics=mean"], "it must be one of running, batch"),
        (["metric=positive_control"], "one image at a time"),
    ],
)
def test_what_has_no_batch_is_refused(config, overrides, message):
    with pytest.raises(ConfigError, match=message):
        prepare(config("classifier.statistics=batch", *overrides))


def test_a_record_fills_a_cell_of_its_own_statistics_and_batch_size_alone(config):
    def fills(record, *settings):
        told = from_overrides(["attack=fgsm", "defense.k=4", "attack.batch_size=8", *settings])
        return bool(Index([record]).filling(Cell("t", "r", "c", "robust_accuracy", told, None)))

    judged = read(run(config("attack=fgsm", "classifier.statistics=batch")))
    attacked = read(run(config("attack=fgsm", "adversary.statistics=batch")))
    usual = read(run(config("attack=fgsm")))
    assert fills(usual)
    assert fills(usual, "classifier.statistics=running", "attack.batch_size=9")
    assert not fills(usual, "classifier.statistics=batch")
    assert not fills(judged)
    assert not fills(attacked)
    assert fills(judged, "classifier.statistics=batch", "adversary.statistics=batch")
    assert not fills(judged, "classifier.statistics=batch", "attack.batch_size=9")
    assert not fills(judged, "classifier.statistics=batch", "adversary.statistics=running")
    assert fills(attacked, "adversary.statistics=batch")


def test_every_classifier_of_ours_has_the_setting():
    from vqexp.reports.spec.choices import read_settings

    for path in (CONF / "classifier").glob("*.yaml"):
        if path.stem != "own":
            assert read_settings(path)["statistics"] == "running", path
