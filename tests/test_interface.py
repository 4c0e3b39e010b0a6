"""`vqexp.audit` and `vqexp.evaluate`: right verdicts, and the command line's numbers."""

import json
import sys

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import vqexp
from vqexp import results
from vqexp.core.errors import ConfigError
from vqexp.core.held import held, hold
from vqexp.data import Digits
from vqexp.interface.subject import gathered, subject

EPS = 0.4
FEW = ('table.only_rows=["no attack","PGD, margin"]',)


class NearestMean(nn.Module):
    """Digits by the nearest mean of a class, a linear classifier in closed form, after what `change` does."""

    def __init__(self, noise=0.0, softmax=False):
        super().__init__()
        train = Digits(name="digits", shape=(1, 8, 8), num_classes=10).load("train")
        pixels = train.pixels(slice(None)).flatten(1)
        means = torch.stack([pixels[train.labels == label].mean(0) for label in range(10)])
        self.register_buffer("means", means)
        self.noise, self.softmax = noise, softmax

    def forward(self, images):
        pixels = images.flatten(1)
        scores = (
            -(pixels + self.noise * torch.randn_like(pixels)).unsqueeze(1).sub(self.means).square().sum(2)
        )
        return scores.softmax(1) if self.softmax else scores


@pytest.fixture(scope="module")
def digits():
    images = Digits(name="digits", shape=(1, 8, 8), num_classes=10).load("test", 24)
    return images.pixels(slice(None)), images.labels


@pytest.fixture(scope="module")
def report(digits, tmp_path_factory):
    settings = ['table.without=["EOT, true gradient"]']
    folder = tmp_path_factory.mktemp("audit")
    return vqexp.audit(NearestMean(0.1), *digits, eps=EPS, store=folder, settings=settings, told=False)


def test_a_random_model_that_is_broken_is_called_broken(report, digits):
    assert report.verdict.startswith("INCOMPLETE")  # a row was left out by hand
    worst = report.worst_case
    assert worst.mean == 0
    assert worst.interval[0] == 0 < worst.interval[1] < 0.15
    assert worst.ids.tolist() == list(range(24))
    assert worst.per_image.tolist() == [0.0] * 24
    assert set(worst.attack) <= {"PGD, margin", "PGD, true gradient"}
    assert "random by itself" in report.notes[0]
    frame = report.to_frame().set_index("attack")
    assert frame.loc["no attack", "accuracy"] > 0.8
    assert frame.loc["random noise", "accuracy"] > 0.3
    assert frame["runs"].max() == 5  # draws, as it is random
    # each white box reaches zero, and images go to one attack each
    assert frame.loc[["PGD, margin", "PGD, true gradient"], "worst_on"].sum() == 24


def test_it_fits_a_screen_and_says_what_was_left_out(report, tmp_path):
    text = str(report)
    assert len(text.splitlines()) <= 40
    assert max(map(len, text.splitlines())) <= 100
    assert "scale=quick has no time for it" in text
    page = report.save(tmp_path / "audit.html").read_text()
    assert page.startswith("<!doctype html>")
    assert report.head["line"] in page
    assert "<td>PGD, margin</td>" in page
    assert "AutoAttack, EOT" in page  # among what was left out
    found = json.loads(report.to_json())
    assert found["worst_case"]["per_image"] == report.worst_case.per_image.tolist()
    assert {row["attack"] for row in found["rows"]} == set(report.to_frame()["attack"])
    with pytest.raises(ConfigError, match="must end in"):
        report.save(tmp_path / "audit.pdf")


def test_the_command_line_finds_the_same(report, digits, vqexp):
    """From the same objects, in another store."""
    about = subject(NearestMean(0.1), *digits, defense=None, eps=EPS, norm="linf", seed=0, store=None)
    settings = [text for text in about.settings if "store.root" not in text]
    status, out, err = vqexp("-m", "table=audit", "scale=quick", *settings, *FEW)
    assert (status, err) == (0, "")
    assert "row 1 of 2    no attack " in out
    store = next(line for line in out.splitlines() if line.startswith("page: ")).split("/pages/")[0][6:]
    records = results.records(store)
    rows = {record.reported.row: record.metrics for record in records}
    for name, metrics in rows.items():
        assert metrics == report.result.findings[name].record.metrics


def test_a_softmax_at_the_end_does_not_protect(digits):
    """Saturated: the cross-entropy of such probabilities has next to no gradient."""
    common = {"attack": "pgd", "eps": EPS, "settings": ["attack.steps=20"]}
    plain = vqexp.evaluate(NearestMean(), *digits, **common)
    model = NearestMean(softmax=True)
    through_log = vqexp.evaluate(model, *digits, **common)
    assert "through their logarithm" in through_log.notes[0]
    assert "through" not in plain.notes[0]
    assert torch.equal(plain.per_image, through_log.per_image)
    assert plain.metrics["natural_accuracy"].mean > 0.8
    assert plain.metrics["robust_accuracy"].mean == plain.per_image.mean() < 0.05
    assert "robust accuracy" in str(plain)


def test_a_defense_is_measured_and_attacked_through(digits):
    """Rounding declares nothing; its gradient is zero, so the attack goes straight through it."""

    class Rounding(nn.Module):
        def forward(self, images):
            return (images * 3).round() / 3

    exact, ste = (
        vqexp.evaluate(
            NearestMean(), *digits, defense=Rounding(), adversary=name, eps=EPS, settings=["attack.steps=5"]
        )
        for name in ("exact", "ste")
    )
    assert "defense Rounding: fixed: two calls agree; its gradient is zero on 100 % of" in ste.notes[1]
    assert ste.metrics["robust_accuracy"].mean < 0.1 < exact.metrics["robust_accuracy"].mean
    assert ste.metrics["natural_accuracy"].runs == 1
    taken_apart = vqexp.defend(NearestMean().eval(), Rounding())
    about = subject(taken_apart, *digits, defense=None, eps=EPS, norm="linf", seed=0, store=None)
    assert about.notes[1] == ste.notes[1]


def test_l2_balls(digits):
    found = vqexp.evaluate(NearestMean(), *digits, eps=1.5, norm="l2", settings=["attack.steps=5"])
    assert found.record.config["attack"]["norm"] == "l2"
    assert found.record.config["attack"]["eps"] == 1.5


def test_images_and_labels_come_as_tensors_or_batches(digits):
    images, labels = digits
    given = gathered(images, labels)
    dataset = TensorDataset(images.double(), labels)
    for loaded in (gathered(DataLoader(dataset, batch_size=7), None), gathered(dataset, None)):
        assert torch.equal(given[0], loaded[0])
        assert torch.equal(given[1], loaded[1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": torch.rand(4, 8, 8)}, "add the batch dimension"),
        ({"images": torch.rand(4, 1, 8, 8) * 255}, "they must be a float tensor"),
        ({"labels": torch.tensor([0, 1, 2, 10])}, r"labels are in 0\.\.10; they must be .* in 0\.\.9"),
        ({"labels": None}, "labels are missing"),
        ({"labels": [0, 1]}, "labels are of type list; they must be an int64 tensor"),
        ({"images": np.zeros((2, 1, 8, 8))}, "of type ndarray; beside labels they must be a tensor"),
        ({"eps": 8}, "eps is 8; it must be a number > 0 and <= 1"),
        ({"norm": "l1"}, "norm is 'l1'; it must be one of linf, l2"),
        ({"budget": "huge"}, "budget is 'huge'; it must be one of quick, standard, full"),
        ({"model": lambda images: images}, "model is a function"),
        ({"images": 3}, "images are of type int; they must be a tensor, a DataLoader or a dataset"),
    ],
)
def test_bad_input_is_refused_in_one_line(change, message):
    given = {"model": NearestMean(), "images": torch.rand(4, 1, 8, 8), "labels": torch.arange(4)}
    with pytest.raises(ConfigError, match=message) as error:
        vqexp.audit(**given | change)
    assert "\n" not in str(error.value)


class TestHeld:
    def test_contents_decide_the_name(self):
        first, second = NearestMean(0.1), NearestMean(0.1)
        assert hold(first) == hold(second)
        assert held(hold(first)) is first
        assert hold(NearestMean(0.2)) != hold(first)
        second.means[0, 0] += 1
        assert hold(second) != hold(first)

    def test_what_has_no_contents_is_new_each_time(self):
        model = nn.Linear(2, 2)
        model.change = lambda x: x
        assert hold(model) != hold(model)

    def test_another_process_is_told(self):
        with pytest.raises(ConfigError, match="was an object of another Python process"):
            held("held-0")


def test_the_callers_model_stays_as_it_was(report, digits):
    model = NearestMean(0.1).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    subject(model, *digits, defense=None, eps=EPS, norm="linf", seed=0, store=None)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_an_interruption_says_what_is_kept(digits, monkeypatch, capsys):
    def interrupted(*arguments, **settings):
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules["vqexp.interface.audit"], "run_one", interrupted)
    with pytest.raises(KeyboardInterrupt):
        vqexp.audit(NearestMean(0.1), *digits, eps=EPS, settings=FEW, told=False)
    told = (
        "vqexp: interrupted; 0 of 2 rows, and parts of the next, are kept until Python ends (with store=DIR"
    )
    assert capsys.readouterr().err.startswith(told)
