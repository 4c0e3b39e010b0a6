"""Standard training: accuracy, determinism, resuming, settings and augmentation."""

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import OmegaConf
from sklearn.datasets import load_digits
from torch import Tensor, nn

from vqexp.classifiers import small_cnn
from vqexp.core.errors import ConfigError, WorkError
from vqexp.training import Standard
from vqexp.training.augment import augment

CPU = torch.device("cpu")


@dataclass
class Digits:
    """A stand-in for `vqexp.data.Images`."""

    store: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        self.ids = torch.arange(len(self.labels))
        self.shape = tuple(self.store.shape[1:])

    def __len__(self) -> int:
        return len(self.labels)

    def pixels(self, rows: slice | Tensor) -> Tensor:
        return self.store[rows]


@pytest.fixture(scope="module")
def digits() -> Digits:
    data = load_digits()
    return Digits(torch.from_numpy(data.images).float()[:, None] / 16, torch.from_numpy(data.target))


@pytest.fixture(scope="module")
def few(digits) -> Digits:
    return Digits(digits.store[:100], digits.labels[:100])


def network(width: int = 4, dropout: float = 0.5) -> nn.Module:
    """A small network with its own randomness in training."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Dropout(dropout), small_cnn((1, 8, 8), 10, width=width))


def equal(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


RECIPES = [
    {"schedule": "one_cycle", "augment": "crop_flip"},
    {"schedule": "cosine", "augment": "shift", "amp": True},
    {"schedule": "step", "milestones": [1, 2], "gamma": 0.1, "channels_last": True},
    {"schedule": "constant", "optimizer": "adam", "lr": 0.01, "label_smoothing": 0.1},
]


@pytest.mark.parametrize("recipe", [{"schedule": "one_cycle", "augment": "shift"}, {"schedule": "cosine"}])
def test_digits_are_learned(digits, recipe):
    rows = torch.randperm(len(digits), generator=torch.Generator().manual_seed(0))
    train, test = (Digits(digits.store[part], digits.labels[part]) for part in rows.split(1400))
    classifier = network(width=16, dropout=0.0)
    result = Standard(epochs=6, lr=0.1, batch_size=64, **recipe).fit(classifier, train, seed=0, device=CPU)
    assert not classifier.training
    with torch.no_grad():
        accuracy = (classifier(test.store).argmax(1) == test.labels).float().mean()
    assert accuracy > 0.95
    assert set(result) == {"epochs", "train_loss", "train_accuracy", "seconds"}
    assert result["epochs"] == 6
    assert 0.9 < result["train_accuracy"] <= 1
    assert result["train_loss"] > 0


@pytest.mark.parametrize("recipe", RECIPES)
def test_training_is_deterministic_and_leaves_the_global_generator(few, recipe):
    training = Standard(**{"epochs": 2, "lr": 0.05, "batch_size": 32, **recipe})
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
        assert set(metrics) == {"train_loss", "train_accuracy"}
        self.epochs.append(step)
        if len(self.epochs) == self.after:
            raise KilledError


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_killed_training_resumes_to_the_same_result(few, recipe, tmp_path):
    training = Standard(**{"epochs": 3, "lr": 0.05, "batch_size": 32, **recipe})
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
    training = Standard(epochs=2, lr=0.05, batch_size=32)
    path = tmp_path / "state.pt"
    old = Standard(epochs=2, lr=0.06, batch_size=32) if fault == "other settings" else training
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
        Standard(epochs=1, lr=0.1).fit(network(), few, seed=0, device=CPU, state_path=tmp_path / "file" / "s")


def test_divergence_is_a_fault(few):
    @dataclass(kw_only=True)
    class Diverging(Standard):
        def loss(self, classifier, images, labels, ids, epoch):
            loss, logits = super().loss(classifier, images, labels, ids, epoch)
            return loss * 1e30**epoch * 1e30**epoch, logits

    with pytest.raises(WorkError, match=r"diverged in epoch 2: .* lower training.lr"):
        Diverging(epochs=5, lr=0.1).fit(network(), few, seed=0, device=CPU)


def test_another_training_overrides_the_loss(few):
    seen: list[Tensor] = []

    @dataclass(kw_only=True)
    class Inverted(Standard):
        strength: float = 1.0

        def loss(self, classifier, images, labels, ids, epoch):
            assert images.shape == (len(ids), 1, 8, 8)
            assert torch.equal(labels, few.labels[ids])
            assert classifier.training
            seen.append(ids)
            return super().loss(classifier, self.strength - images, labels, ids, epoch)

    Inverted(epochs=2, lr=0.1, batch_size=32, strength=2.0).fit(network(), few, seed=0, device=CPU)
    assert len(seen) == 8
    assert {len(ids) for ids in seen} == {25}
    first, second = torch.cat(seen[:4]), torch.cat(seen[4:])
    assert not torch.equal(first, second)
    assert torch.equal(first.sort().values, second.sort().values)


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
        {"momentum": 1.0},
        {"momentum": 0.0},  # with nesterov
        {"gamma": 0},
        {"label_smoothing": 1},
        {"milestones": [0, 5]},
        {"milestones": 5},
        {"nesterov": "yes"},
        {"optimizer": "lion"},
        {"schedule": "linear"},
        {"augment": "cutout"},
        {"amp": "on"},
        {"channels_last": None},
    ],
)
def test_bad_settings(setting):
    name = next(iter(setting)) if setting != {"momentum": 0.0} else "nesterov"
    with pytest.raises(ConfigError, match=rf"training\.{name} is .*; it (must|needs)"):
        Standard(**{"epochs": 1, "lr": 0.1, **setting})


RECIPE = {
    "epochs": 2,
    "lr": 0.1,
    "batch_size": 64,
    "weight_decay": 1e-4,
    "augment": "shift",
    "optimizer": "adam",
    "schedule": "step",
}


def configured(name: str, **recipe) -> Standard:
    with initialize_config_dir(str(Path(__file__).parents[1] / "conf"), version_base=None):
        config = compose(overrides=[f"+training={name}"])
    return instantiate(OmegaConf.merge({"preset": {"standard": {**RECIPE, **recipe}}}, config)).training


def test_the_standard_config_follows_the_preset():
    assert configured("standard") == Standard(**RECIPE)
    other = {"milestones": [3, 4], "gamma": 0.5}
    assert configured("standard", **other) == Standard(**{**RECIPE, **other})


def test_the_fast_config_keeps_the_presets_augmentation():
    fast = configured("fast")
    assert (fast.augment, fast.schedule, fast.optimizer, fast.amp) == ("shift", "one_cycle", "sgd", "auto")
    assert fast.epochs == 12


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
