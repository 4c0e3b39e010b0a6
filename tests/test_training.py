"""Training: accuracy, determinism, resuming, recipe, selection, settings and augmentation."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hydra import compose, initialize_config_dir
from networks import network
from omegaconf import OmegaConf
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.optim import SGD, AdamW
from torch.optim.lr_scheduler import MultiStepLR, StepLR

from vqexp.classifiers import small_cnn
from vqexp.core.components import build
from vqexp.core.config import resolved
from vqexp.core.draws import Draw
from vqexp.core.errors import ConfigError, WorkError
from vqexp.core.random_module import RandomModule
from vqexp.data import Images
from vqexp.training import PGDAT, CrossEntropy, Descent, InnerAttack
from vqexp.training.augment import augment
from vqexp.training.selection import held_out

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def digits() -> Images:
    data = load_digits()
    return Images(torch.from_numpy(data.images).float()[:, None] / 16, torch.from_numpy(data.target))


@pytest.fixture(scope="module")
def few(digits) -> Images:
    return digits.subset(slice(100))


def equal(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


RECIPES = [
    {"schedule": "one_cycle", "augment": "crop_flip"},
    {"schedule": "cosine", "augment": "shift", "amp": True},
    {"schedule": partial(MultiStepLR, milestones=["1*batches", "2*batches"]), "channels_last": True},
    {"schedule": "constant", "optimizer": "adam", "lr": 0.01, "objective": CrossEntropy(label_smoothing=0.1)},
    {"optimizer": partial(SGD, momentum=0.5), "selection": "held_out"},
]


@pytest.mark.parametrize("recipe", [{"schedule": "one_cycle", "augment": "shift"}, {"schedule": "cosine"}])
def test_digits_are_learned(digits, recipe):
    rows = torch.randperm(len(digits), generator=torch.Generator().manual_seed(0))
    train, test = (digits.subset(part) for part in rows.split(1400))
    classifier = network(width=16, dropout=0.0)
    result = Descent(objective=CrossEntropy(), epochs=6, lr=0.1, batch_size=64, **recipe).fit(
        classifier, train, seed=0, device=CPU
    )
    assert not classifier.training
    with torch.no_grad():
        accuracy = (classifier(test.pixels(slice(None))).argmax(1) == test.labels).float().mean()
    assert accuracy > 0.95
    assert set(result) == {"epochs", "train_loss", "train_accuracy", "seconds", "kept_epoch", "selection"}
    assert (result["epochs"], result["kept_epoch"], result["selection"]) == (6, 6, "last")
    assert 0.9 < result["train_accuracy"] <= 1
    assert result["train_loss"] > 0


@pytest.mark.parametrize("recipe", RECIPES)
def test_training_is_deterministic_and_leaves_the_global_generator(few, recipe):
    training = Descent(**{"objective": CrossEntropy(), "epochs": 2, "lr": 0.05, "batch_size": 32, **recipe})
    one, same, other = network(), network(), network()
    before = torch.get_rng_state()
    training.fit(one, few, seed=1, device=CPU)
    assert torch.equal(before, torch.get_rng_state())
    torch.rand(3)
    training.fit(same, few, seed=1, device=CPU)
    training.fit(other, few, seed=2, device=CPU)
    assert equal(one, same)
    assert not equal(one, other)


class KilledError(Exception):
    pass


class Kill:
    """A logger that kills the training after some epochs."""

    def __init__(self, after: int) -> None:
        self.after = after
        self.epochs: list[int | None] = []

    def log(self, metrics: dict[str, float], step: int | None = None) -> None:
        assert set(metrics) - {"selection_accuracy"} == {"train_loss", "train_accuracy"}
        self.epochs.append(step)
        if len(self.epochs) == self.after:
            raise KilledError


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_killed_training_resumes_to_the_same_result(few, recipe, tmp_path):
    training = Descent(**{"objective": CrossEntropy(), "epochs": 3, "lr": 0.05, "batch_size": 32, **recipe})
    path = tmp_path / "new" / "state.pt"
    whole, resumed = network(), network()
    expected = training.fit(whole, few, seed=5, device=CPU)
    for _ in range(2):
        with pytest.raises(KilledError):
            training.fit(resumed, few, seed=5, device=CPU, state_path=path, logger=Kill(after=1))
        resumed = nn.Sequential(nn.Dropout(0.5), small_cnn((1, 8, 8), 10, width=4))
    log = Kill(after=2)
    result = training.fit(resumed, few, seed=5, device=CPU, state_path=path, logger=log)
    assert log.epochs == [3]
    assert equal(whole, resumed)
    assert {**result, "seconds": 0} == {**expected, "seconds": 0}
    assert list((tmp_path / "new").iterdir()) == []


@pytest.mark.parametrize("fault", ["broken", "empty", "other settings", "other classifier", "other seed"])
def test_a_state_that_is_of_no_use_is_ignored(few, fault, tmp_path, capsys):
    training = Descent(objective=CrossEntropy(), epochs=2, lr=0.05, batch_size=32)
    path = tmp_path / "state.pt"
    old = (
        Descent(objective=CrossEntropy(), epochs=2, lr=0.06, batch_size=32)
        if fault == "other settings"
        else training
    )
    width, seed = (8 if fault == "other classifier" else 4), (1 if fault == "other seed" else 0)
    with pytest.raises(KilledError):
        old.fit(network(width), few, seed=seed, device=CPU, state_path=path, logger=Kill(after=1))
    if fault in ("broken", "empty"):
        path.write_bytes(path.read_bytes()[:1000] if fault == "broken" else b"")
    fresh, resumed = network(), network()
    training.fit(fresh, few, seed=0, device=CPU)
    training.fit(resumed, few, seed=0, device=CPU, state_path=path)
    assert equal(fresh, resumed)
    assert capsys.readouterr().err.count("is ignored") == 1


def test_a_state_that_cannot_be_written(few, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(WorkError, match="cannot be written"):
        Descent(objective=CrossEntropy(), epochs=1, lr=0.1).fit(
            network(), few, seed=0, device=CPU, state_path=tmp_path / "file" / "s"
        )


def test_divergence_is_a_fault(few):
    class Diverging(CrossEntropy):
        def loss(self, model, batch, step):
            loss, logits = super().loss(model, batch, step)
            return loss * 1e30**step.epoch * 1e30**step.epoch, logits

    with pytest.raises(WorkError, match=r"diverged in epoch 2: .* lower training.lr"):
        Descent(objective=Diverging(), epochs=5, lr=0.1).fit(network(), few, seed=0, device=CPU)


def test_an_objective_of_ones_own(few):
    """It sees each image once an epoch, has its own parameter group and changes the model after a step."""
    seen: list[Tensor] = []
    steps: list[tuple[int, int]] = []

    @dataclass(kw_only=True)
    class Inverted(CrossEntropy):
        strength: float = 1.0

        def parameter_groups(self, model):
            first, *others = model.parameters()
            return [{"params": [first], "lr": 0.0}, {"params": others}]

        def loss(self, model, batch, step):
            images, labels, ids = batch
            assert images.shape == (len(ids), 1, 8, 8)
            assert torch.equal(labels, few.labels[ids])
            assert model.training
            seen.append(ids)
            steps.append(step)
            return super().loss(model, batch._replace(images=self.strength - images), step)

        def after_step(self, model):
            with torch.no_grad():
                list(model.parameters())[-1].fill_(0.25)

    model, start = network(), next(network().parameters())
    Descent(objective=Inverted(strength=2.0), epochs=2, lr=0.1, batch_size=32, schedule="constant").fit(
        model, few, seed=0, device=CPU
    )
    assert steps == [(number // 4, number) for number in range(8)]
    assert {len(ids) for ids in seen} == {25}
    first, second = torch.cat(seen[:4]), torch.cat(seen[4:])
    assert not torch.equal(first, second)
    assert torch.equal(first.sort().values, second.sort().values)
    parameters = list(model.parameters())
    assert torch.equal(parameters[0], start)
    assert (parameters[-1] == 0.25).all()


def test_random_modules_read_the_draw_of_the_step(few):
    """So a training with a random layer resumes, and no two steps share their noise."""
    draws: list[Draw] = []

    class Noise(RandomModule):
        random = True

        def forward(self, images, draw=None):
            draws.append(draw)
            return images

    Descent(objective=CrossEntropy(), epochs=2, lr=0.1, batch_size=50).fit(
        nn.Sequential(Noise(), network()), few, seed=0, device=CPU
    )
    assert [draw.number for draw in draws] == [step * 1024 for step in range(4)]
    assert {draw.purpose for draw in draws} == {"train"}
    assert torch.equal(torch.cat([draw.ids for draw in draws[:2]]).sort().values, few.ids)


def test_a_schedule_counts_steps_and_batches(few):
    """The learning rates that the optimizer has at each step."""
    rates: list[float] = []

    class Watched(SGD):
        def step(self, closure=None):
            rates.append(self.param_groups[0]["lr"])
            return super().step(closure)

    schedule = partial(MultiStepLR, milestones=["1*batches", "0.75*steps"], gamma=0.1)
    training = Descent(
        objective=CrossEntropy(), epochs=2, lr=1e-3, batch_size=25, optimizer=Watched, schedule=schedule
    )
    rates.clear()  # of the rehearsal
    training.fit(network(), few, seed=0, device=CPU)
    assert rates == pytest.approx([1e-3, 1e-3, 1e-3, 1e-3, 1e-4, 1e-4, 1e-5, 1e-5])


class Alternating(CrossEntropy):
    """Learns in the first epoch, and unlearns in the second, by the sign of its loss."""

    def loss(self, model, batch, step):
        loss, logits = super().loss(model, batch, step)
        return (loss if step.epoch == 0 else -loss), logits


@pytest.mark.parametrize("selection", ["held_out", "test"])
def test_the_best_epoch_is_kept(digits, few, selection):
    logged: list[dict[str, float]] = []

    class Log:
        def log(self, metrics, step=None):
            logged.append(metrics)

    recipe = {"lr": 0.1, "batch_size": 64, "schedule": "constant", "objective": Alternating()}
    model, first = network(dropout=0.0), network(dropout=0.0)
    result = Descent(epochs=2, selection=selection, **recipe).fit(
        model, digits, seed=0, device=CPU, logger=Log(), test=few
    )
    assert (result["kept_epoch"], result["selection"], result["epochs"]) == (1, selection, 2)
    assert logged[0]["selection_accuracy"] > logged[1]["selection_accuracy"] + 0.1
    if selection == "test":  # nothing is held out then
        Descent(epochs=1, **recipe).fit(first, digits, seed=0, device=CPU)
        assert equal(model, first)
        right = (model(few.pixels(slice(None))).argmax(1) == few.labels).float().mean().item()
        assert logged[0]["selection_accuracy"] == pytest.approx(right)


def test_what_is_held_out_is_not_trained_on(digits):
    kept, out = held_out(digits, 0.25, seed=3)
    assert len(out) == round(0.25 * len(digits))
    assert torch.equal(torch.cat([kept.ids, out.ids]).sort().values, digits.ids)
    assert torch.equal(held_out(digits, 0.25, seed=3)[1].ids, out.ids)
    assert not torch.equal(held_out(digits, 0.25, seed=4)[1].ids, out.ids)
    assert len(held_out(digits, 0.9, seed=0)[1]) == 1000
    with pytest.raises(ConfigError, match="needs 2 images; there are 1"):
        held_out(digits.subset(slice(1)), 0.5, seed=0)


def test_selection_by_robust_accuracy(few):
    objective = PGDAT(inner=InnerAttack(eps=0.2, steps=1, step_size=0.2))
    recipe = {"epochs": 30, "lr": 0.01, "optimizer": "adam", "selection": "held_out", "held_out": 0.5}
    accuracies = []
    for metric in ("natural_accuracy", "robust_accuracy"):
        log: list[float] = []
        logger = SimpleNamespace(log=lambda metrics, step, log=log: log.append(metrics["selection_accuracy"]))
        training = Descent(objective=objective, selection_metric=metric, **recipe)
        training.fit(network(8, 0.0), few, seed=0, device=CPU, logger=logger)
        accuracies.append(log[-1])
    assert accuracies[1] < accuracies[0]
    with pytest.raises(ConfigError, match="needs the eps of an objective with an inner attack"):
        Descent(objective=CrossEntropy(), epochs=1, lr=0.1, selection_metric="robust_accuracy")


@pytest.mark.parametrize(
    "setting",
    [
        {"epochs": 0},
        {"epochs": 1.5},
        {"epochs": True},
        {"lr": 0},
        {"lr": "fast"},
        {"lr": float("nan")},
        {"batch_size": 0},
        {"weight_decay": -1e-4},
        {"optimizer": "lion"},
        {"schedule": "linear"},
        {"objective": "trades"},
        {"start": 3},
        {"selection": "best"},
        {"held_out": 1},
        {"selection_metric": "accuracy"},
        {"augment": "cutout"},
        {"amp": "on"},
        {"channels_last": None},
    ],
)
def test_bad_settings(setting):
    with pytest.raises(ConfigError, match=rf"training\.{next(iter(setting))} is .*; it must"):
        Descent(**{"objective": CrossEntropy(), "epochs": 1, "lr": 0.1, **setting})


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"optimizer": partial(SGD, momentum=-1)}, "training.optimizer: Invalid momentum value: -1"),
        ({"optimizer": partial(AdamW, beta=1)}, "training.optimizer: .* unexpected keyword argument 'beta'"),
        ({"optimizer": partial(SGD, lr=1)}, "training.optimizer.lr is set; set training.lr instead"),
        ({"schedule": StepLR}, "training.schedule: .* missing .* 'step_size'"),
        ({"schedule": partial(StepLR, step_size="many")}, "training.schedule: "),
    ],
)
def test_an_optimizer_or_a_schedule_that_cannot_be_is_refused_before_work(setting, message):
    with pytest.raises(ConfigError, match=message):
        Descent(objective=CrossEntropy(), epochs=1, lr=0.1, **setting)


def test_a_bad_label_smoothing():
    with pytest.raises(ConfigError, match=r"training\.objective\.label_smoothing is 1; it must be"):
        CrossEntropy(label_smoothing=1)


RECIPE = {
    "epochs": 2,
    "lr": 0.1,
    "batch_size": 64,
    "weight_decay": 1e-4,
    "augment": "shift",
    "optimizer": "adam",
    "schedule": "one_cycle",
}


def configured(name: str) -> Descent:
    with initialize_config_dir(str(Path(__file__).parents[1] / "conf"), version_base=None):
        config = compose(overrides=[f"+training={name}"])
    return build("training", resolved(OmegaConf.merge({"preset": {"standard": RECIPE}}, config))["training"])


def test_the_standard_config_follows_the_preset():
    assert configured("standard") == Descent(objective=CrossEntropy(), **RECIPE)


def test_the_one_cycle_config_keeps_the_presets_augmentation():
    found = configured("one_cycle")
    assert (found.augment, found.schedule, found.optimizer, found.amp) == (
        "shift",
        "one_cycle",
        "sgd",
        "auto",
    )
    assert found.epochs == 12


@pytest.mark.parametrize(("name", "reach", "flips"), [("shift", 2, False), ("crop_flip", 4, True)])
def test_augmentation_moves_each_image_on_its_own(name, reach, flips):
    images = torch.zeros(500, 3, 12, 12)
    images[:, :, 5, 5] = torch.tensor([0.2, 0.6, 1.0])
    images[:, :, 5, 6] = 0.1
    moved = augment(name, images, torch.Generator().manual_seed(0))
    assert moved.shape == images.shape
    peaks = (moved[:, 2] == 1).nonzero()
    assert len(peaks) == 500
    assert torch.equal(moved[peaks[:, 0], :, peaks[:, 1], peaks[:, 2]], torch.tensor([[0.2, 0.6, 1.0]] * 500))
    assert set((peaks[:, 1] - 5).tolist()) == set(range(-reach, reach + 1))
    right = moved[peaks[:, 0], 0, peaks[:, 1], (peaks[:, 2] + 1).clamp(max=11)] == 0.1
    assert right.float().mean() == pytest.approx(0.5 if flips else 1.0, abs=0.1 if flips else 0)
    again = augment(name, images, torch.Generator().manual_seed(0))
    assert torch.equal(moved, again)


def test_no_augmentation():
    images = torch.rand(4, 1, 8, 8)
    assert augment("none", images, torch.Generator()) is images
