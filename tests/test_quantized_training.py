"""Training on quantized images: what it sees, what it gains, resuming, fine-tuning, keys, settings."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from inner import InnerNoise
from networks import network
from torch import Tensor, nn

from vqexp.classifiers import save_checkpoint, small_cnn
from vqexp.core.config import register_resolvers
from vqexp.core.draws import Draw
from vqexp.core.errors import ConfigError, MissingError, SenselessError
from vqexp.data import Images
from vqexp.defenses import PRD, NoDefense
from vqexp.pipeline.build import prepare
from vqexp.pipeline.foundation import Foundation
from vqexp.training import CrossEntropy, Descent, Quantized

CPU = torch.device("cpu")
FEW = {"epochs": 2, "lr": 0.05, "batch_size": 32}
# little to train, and few images to attack
QUICK = ("scale=smoke", "classifier.width=4", "dataset.train_n=100", "training.epochs=1", "attack.steps=2")


def quantizer(seed: int = 0) -> PRD:
    return PRD(s=2, k=2, sigma=4 / 255, tau=4 / 255, seed=seed).eval()


def behind(defense: nn.Module | None, **recipe) -> Descent:
    """Training on what the defense makes of images."""
    return Descent(objective=Quantized(defense=defense), **recipe)


def fit(training: Descent, images: Images, classifier: nn.Module | None = None, **settings) -> nn.Module:
    classifier = network() if classifier is None else classifier
    training.fit(classifier, images, **{"seed": 0, "device": CPU, **settings})
    return classifier


def equal(one: nn.Module, other: nn.Module) -> bool:
    return all(map(torch.equal, one.state_dict().values(), other.state_dict().values()))


@dataclass(kw_only=True)
class Watched(Quantized):
    """Keeps what goes into the quantizer and what comes out, by (epoch, image id)."""

    before: dict[tuple[int, int], Tensor] = field(default_factory=dict)
    after: dict[tuple[int, int], Tensor] = field(default_factory=dict)

    def quantize(self, images: Tensor, ids: Tensor, epoch: int) -> Tensor:
        found = super().quantize(images, ids, epoch)
        assert not found.requires_grad
        for index, image_id in enumerate(ids.tolist()):
            self.before[epoch, image_id], self.after[epoch, image_id] = images[index], found[index]
        return found


def test_it_gains_natural_accuracy_behind_the_quantizer(train, digit_images):
    recipe = {"epochs": 4, "lr": 0.02, "batch_size": 64, "optimizer": "adam", "schedule": "one_cycle"}
    draw = Draw("report", 0, digit_images.ids)
    quantized = quantizer()(digit_images.pixels(slice(None)), draw)

    def accuracy(training: Descent) -> float:
        classifier = fit(training, train, network(width=12, dropout=0.0))
        with torch.no_grad():
            return (classifier(quantized).argmax(1) == digit_images.labels).float().mean().item()

    plain = accuracy(Descent(objective=CrossEntropy(), **recipe))
    assert plain < 0.6  # two centers leave a classifier of clean images little
    assert accuracy(behind(quantizer(), **recipe)) > plain + 0.2


@pytest.mark.parametrize("amp", [False, True])
def test_f_learns_from_the_quantizers_draw_of_the_epoch(few, amp):
    training = Watched(defense=quantizer())
    fit(Descent(objective=training, **FEW, augment="shift", amp=amp), few, seed=3)
    assert len(training.after) == 2 * len(few)
    for (epoch, image_id), found in list(training.after.items())[:: len(few) // 5]:
        image = training.before[epoch, image_id][None]  # augmented, not yet quantized
        assert torch.equal(found, quantizer()(image, Draw("train", epoch, torch.tensor([image_id])))[0])
        assert len(found.unique()) <= 2 * 4  # two patches of 2 x 2
    stored = zip(few.ids.tolist(), few.pixels(slice(None)), strict=True)
    moved = [not torch.equal(training.before[0, image_id], image) for image_id, image in stored]
    assert sum(moved) > len(few) / 2


def test_the_classifier_gets_the_quantized_images(few):
    inputs: list[Tensor] = []
    classifier = network()
    classifier.register_forward_pre_hook(lambda _, arguments: inputs.append(arguments[0]))
    training = Watched(defense=quantizer())
    fit(Descent(objective=training, **{**FEW, "epochs": 1}), few, classifier)
    assert torch.equal(torch.cat(inputs), torch.stack(list(training.after.values())))


def test_draws_are_fresh_every_epoch_and_do_not_depend_on_the_batch_size(few):
    one, other = (Watched(defense=quantizer()) for _ in range(2))
    fit(Descent(objective=one, **{**FEW, "batch_size": 7}), few, seed=1)
    fit(Descent(objective=other, **{**FEW, "batch_size": 100}), few, seed=2)  # another order
    assert one.after.keys() == other.after.keys()
    assert all(torch.equal(one.after[key], other.after[key]) for key in one.after)
    changed = [not torch.equal(one.after[0, i], one.after[1, i]) for i in few.ids.tolist()]
    assert sum(changed) > 0.9 * len(few)


class KilledError(Exception):
    pass


class Kill:
    """A logger that kills the training after an epoch."""

    def log(self, metrics: dict[str, float], step: int | None = None) -> None:
        raise KilledError


class Noise(nn.Module):
    """A defense of a user's own, which draws from torch's generator."""

    def forward(self, images: Tensor) -> Tensor:
        return images + 0.1 * torch.randn_like(images)


@pytest.mark.parametrize("defense", [quantizer(), Noise()])
def test_a_killed_training_resumes_to_the_same_result(few, tmp_path, defense):
    training, state = behind(defense, **FEW, augment="shift"), tmp_path / "state.pt"
    with pytest.raises(KilledError):
        fit(training, few, state_path=state, logger=Kill())
    assert state.exists()
    torch.rand(7)
    resumed = fit(training, few, state_path=state)
    assert equal(resumed, fit(training, few))
    assert not equal(resumed, fit(Descent(objective=CrossEntropy(), **FEW, augment="shift"), few))
    assert not equal(resumed, fit(training.behind(quantizer(seed=1)), few))


def test_a_state_of_another_defense_is_not_resumed(few, tmp_path, capsys):
    state = tmp_path / "state.pt"
    with pytest.raises(KilledError):
        fit(behind(quantizer(), **FEW), few, state_path=state, logger=Kill())
    training = behind(Noise(), **FEW)
    assert equal(fit(training, few, state_path=state), fit(training, few))
    assert "another training" in capsys.readouterr().err


def test_fine_tuning_starts_from_the_checkpoint(few, tmp_path):
    path = tmp_path / "start.safetensors"
    known = fit(Descent(objective=CrossEntropy(), **FEW), few)
    save_checkpoint(known, path)
    still = {"epochs": 1, "lr": 1e-12, "weight_decay": 0.0}
    tuned, scratch = (fit(behind(quantizer(), **still, start=start), few) for start in (str(path), None))
    for parameter, start in zip(tuned.parameters(), known.parameters(), strict=True):
        torch.testing.assert_close(parameter, start)
    assert not torch.allclose(next(scratch.parameters()), next(known.parameters()), atol=1e-3)


@pytest.mark.parametrize("start", ["", 3, True])
def test_bad_starts(start):
    with pytest.raises(ConfigError, match=r"training\.start is .*; it must be null or the path"):
        Descent(objective=CrossEntropy(), **FEW, start=start)


def test_a_defense_that_quantizes_nothing_is_refused(few):
    inside = InnerNoise()
    with pytest.raises(SenselessError, match="there is no defense; choose training=standard"):
        behind(None, **FEW).behind(NoDefense())
    with pytest.raises(SenselessError, match="inside f"):
        behind(None, **FEW).behind(inside)
    with pytest.raises(ConfigError, match="needs a defense"):
        fit(behind(None, **FEW), few)
    with pytest.raises(ConfigError, match="choose it with defense=NAME"):
        Quantized(defense="prd")


@pytest.fixture
def experiment(tmp_path):
    """`experiment("defense=prd")`: a run that is ready to start."""
    register_resolvers()

    def make(*overrides: str):
        with initialize_config_dir(str(Path(__file__).parents[1] / "conf"), version_base=None):
            return prepare(compose("config", overrides=[*QUICK, *overrides, f"store.root={tmp_path}"]))

    return make


def key(experiment) -> str:
    return Foundation(experiment).classifier_key


def test_the_classifiers_key_has_the_defense_where_its_training_has(experiment):
    def keys(training: str) -> set[str]:
        defenses = ("defense=prd", "defense=swrd", "defense.k=3")
        return {key(experiment(f"training={training}", defense)) for defense in defenses}

    assert len(keys("standard")) == len(keys("one_cycle")) == 1
    assert len(keys("quantized")) == 3
    assert key(experiment("training=quantized")) == key(
        experiment("training=quantized", "defense.memory_limit=8")
    )


def test_the_key_of_standard_training_has_nothing_new(experiment):
    identity = Foundation(experiment()).classifier_identity
    assert identity["defense"] is None
    assert identity["training"]["start"] is None


def test_the_key_has_the_contents_of_the_start(experiment, tmp_path):
    def start(name: str, seed: int) -> str:
        torch.manual_seed(seed)
        save_checkpoint(small_cnn((1, 8, 8), 10, width=4), tmp_path / name)
        return key(experiment("training=quantized", f"training.start={tmp_path / name}"))

    one = start("one.safetensors", 0)
    assert start("copy.safetensors", 0) == one
    assert start("one.safetensors", 1) not in (one, key(experiment("training=quantized")))


def test_a_start_of_another_classifier_is_refused_before_work(experiment, tmp_path):
    path = tmp_path / "wide.safetensors"
    save_checkpoint(small_cnn((1, 8, 8), 10, width=8), path)
    with pytest.raises(ConfigError, match="the classifier expects"):
        experiment("training=quantized", f"training.start={path}")
    with pytest.raises(MissingError, match="there is no checkpoint file"):
        experiment("training=quantized", "adversary=transfer", "training.start=nowhere.safetensors")


def test_a_checkpoint_in_place_of_the_training_is_refused(experiment, tmp_path):
    path = tmp_path / "f.safetensors"
    save_checkpoint(small_cnn((1, 8, 8), 10, width=4), path)
    with pytest.raises(SenselessError, match=r"comes ready.*training@fine_tuning"):
        experiment("training=quantized", f"classifier.checkpoint={path}")
    # the surrogate's may well be one
    surrogate = experiment(
        "training=quantized", "adversary=transfer", f"adversary.classifier.checkpoint={path}"
    ).surrogate
    assert surrogate.training is None


def test_no_defense_is_refused_for_f_and_for_a_surrogate(vqexp):
    status, _, err = vqexp(*QUICK, "training=quantized", "defense=none")
    assert (status, err.count("\n")) == (2, 1)
    assert "choose training=standard" in err
    surrogate = ("adversary=transfer", "training@adversary.training=quantized")
    status, _, err = vqexp(*QUICK, *surrogate, "defense=none")
    assert (status, err.count("\n")) == (2, 1)
    assert "the adversary's surrogate: training=quantized" in err


def record_of(out: str) -> dict:
    return json.loads(Path(out.strip().splitlines()[-1].removeprefix("record: ")).read_text())


@pytest.mark.parametrize("adversary", ["ste", "oblivious"])
def test_a_run(vqexp, adversary):
    status, out, err = vqexp(*QUICK, "training=quantized", "defense=prd", f"adversary={adversary}")
    assert status == 0, err
    record = record_of(out)
    assert record["classifier"]["training"]["objective"]["_target_"] == "vqexp.training.Quantized"
    assert record["classifier"]["defense"] is not None
    assert 0 <= record["metrics"]["robust_accuracy"]["mean"] <= 1


def test_an_attack_through_a_surrogate_that_was_trained_on_quantized_images(vqexp):
    surrogate = ("adversary=transfer", "training@adversary.training=quantized", "adversary.training.epochs=1")
    status, out, err = vqexp(*QUICK, "defense=prd", *surrogate)
    assert status == 0, err
    assert len(record_of(out)["artifacts"]["classifier"]) == 2


def test_a_run_with_a_users_own_defense(vqexp, tmp_path, monkeypatch):
    (tmp_path / "my_noise.py").write_text(
        "import torch\n\nclass MyNoise(torch.nn.Module):\n    random = True\n\n"
        "    def forward(self, images):\n        return images + 0.1 * torch.randn_like(images)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    status, out, err = vqexp(*QUICK, "training=quantized", "defense._target_=my_noise.MyNoise")
    assert status == 0, err
    assert record_of(out)["classifier"]["defense"] is not None
