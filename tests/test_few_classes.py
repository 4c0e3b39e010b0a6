"""Two and three classes, and images that are not square: what of an attack exists there runs."""

import json

import pytest
import torch
from pyautoattack.square import SquareAttack
from torch import nn
from torchvision.transforms.functional import to_pil_image

from vqexp.adversaries import RandomView, WhiteBox
from vqexp.attacks import (
    FGSM,
    MIFGSM,
    PGD,
    AutoAttack,
    Boundary,
    CarliniWagner,
    DeepFool,
    Square,
    TargetedPGD,
)
from vqexp.attacks.any_size import AnySize
from vqexp.attacks.losses import LOSSES
from vqexp.attacks.members import members
from vqexp.core.errors import SenselessError
from vqexp.core.notes import note
from vqexp.defenses import Defense, NoDefense

SHAPE = (1, 8, 12)
ROBUST, BROKEN = {"linf": 1e-3, "l2": 1e-2}, {"linf": 0.4, "l2": 4.0}


class Brightness(nn.Module):
    """Logits by the distance of the mean pixel to the centers of the classes, far apart in small balls."""

    def __init__(self, classes):
        super().__init__()
        self.register_buffer("centers", (torch.arange(classes) + 0.5) / classes)

    def forward(self, images):
        return -10 * (images.mean((1, 2, 3)).unsqueeze(1) - self.centers).square()


class InName(Defense):
    """The identity, said to be random."""

    random = True

    def forward(self, images, draw=None):
        return images


def data(classes, n=9):
    """Images (n, 1, 8, 12) about each class's brightness, and labels."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(n) % classes
    images = ((labels + 0.5) / classes).view(-1, 1, 1, 1) + 0.04 * torch.rand(n, *SHAPE, generator=generator)
    return images.clamp(0, 1), labels


def accuracy(model, images, labels):
    return (model(images).argmax(1) == labels).float().mean().item()


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("version", ["standard", "plus"])
@pytest.mark.parametrize("classes", [2, 3, 4])
def test_autoattack_on_a_fixed_view(classes, version, norm, capsys):
    model, (images, labels) = Brightness(classes), data(classes)
    attack = AutoAttack(eps=ROBUST[norm], norm=norm, version=version, steps=3, queries=20)
    found = attack.run(model, images, labels, seed=0)
    assert torch.equal(found.images, images)
    assert found.tensors["autoattack_flags"].all()
    log = found.facts["log"]
    ran = {line.removeprefix("running ") for line in log.splitlines() if line.startswith("running ")}
    expected = {"apgd-ce", "fab-t", "square"} | ({"fab"} if version == "plus" else set())
    expected |= {"apgd-t"} if classes == 4 else set()
    expected |= {"apgd-dlr"} if classes == 3 or (classes == 4 and version == "plus") else set()
    assert ran == expected
    left_out = f"apgd-t is left out: its loss compares 4 classes, and there are {classes}"
    assert (left_out in log) == (classes < 4)
    assert ("apgd-dlr is left out" in log) == (classes == 2 and version == "plus")
    assert "Warning" not in log
    assert "target classes" not in log
    assert capsys.readouterr().out == ""
    broken = AutoAttack(eps=BROKEN[norm], norm=norm, version=version, steps=10, queries=20)
    assert accuracy(model, broken.run(model, images, labels, seed=0).images, labels) == 0


def test_what_is_left_out_is_said_on_stderr_once(capsys):
    lines = members(["apgd-ce", "apgd-dlr", "apgd-t"], 2)[1]
    assert [line.split()[0] for line in lines] == ["apgd-dlr", "apgd-t"]
    images, labels = data(2)
    note.cache_clear()
    for _ in range(2):
        AutoAttack(eps=1e-3, steps=1, queries=1).run(Brightness(2), images, labels, seed=0)
    assert capsys.readouterr().err == f"note: AutoAttack: {lines[1]}\n"


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("classes", [2, 3, 4])
def test_autoattack_on_a_random_view(classes, norm):
    model, (images, labels) = Brightness(classes), data(classes)
    view = WhiteBox(gradient="exact", samples=2).view(model, InName())
    assert isinstance(view, RandomView)
    assert view.random
    found = AutoAttack(eps=ROBUST[norm], norm=norm, steps=3).run(view, images, labels, seed=0)
    assert len(found.candidates) == (2 if classes == 2 else 4)  # highest-loss and last points
    assert found.tensors["autoattack_flags"].all()
    assert ("apgd-dlr is left out: its loss compares 3 classes" in found.facts["log"]) == (classes == 2)
    view = WhiteBox(gradient="exact", samples=2).view(model, InName())
    found = AutoAttack(eps=BROKEN[norm], norm=norm, steps=20).run(view, images, labels, seed=0)
    assert not found.tensors["autoattack_flags"].any()


@pytest.mark.parametrize(
    ("member", "norm"),
    [("fab-t", "linf"), ("fab-t", "l2"), ("fab", "linf"), ("fab", "l2"), ("square", "linf")],
)
@pytest.mark.parametrize("classes", [2, 3])
def test_members_work_alone(classes, member, norm, monkeypatch):
    monkeypatch.setattr("vqexp.attacks.autoattack.members", lambda wanted, classes: ([member], []))
    model, (images, labels) = Brightness(classes), data(classes)
    attack = AutoAttack(eps=BROKEN[norm], norm=norm, version="plus", steps=10, queries=300)
    assert accuracy(model, attack.run(model, images, labels, seed=0).images, labels) == 0


@pytest.mark.parametrize(
    "attack",
    [
        FGSM(eps=0.4),
        PGD(eps=0.4, steps=5, step_size=0.2, loss="margin"),
        PGD(eps=4, steps=5, step_size=2, norm="l2", random_start=False),
        TargetedPGD(eps=0.4, steps=5, step_size=0.2, targets=9),
        Square(eps=0.4, queries=300, p_init=0.8),
        MIFGSM(eps=0.4, steps=5, step_size=0.2, decay=1.0),
        DeepFool(eps=4, steps=20, overshoot=0.02),
        CarliniWagner(eps=4, c=100.0, confidence=0, steps=100, lr=0.05),
        Boundary(eps=9, steps=5, start_directions=50, start_steps=50),
    ],
    ids=lambda attack: type(attack).__name__,
)
@pytest.mark.parametrize("classes", [2, 3])
def test_other_attacks_break_what_they_can(classes, attack):
    model, (images, labels) = Brightness(classes), data(classes)
    assert accuracy(model, attack.run(model, images, labels, seed=0).images, labels) <= 0.5


def test_dlr_needs_three_classes():
    attack, ste = PGD(eps=0.1, steps=1, step_size=0.1, loss="dlr"), WhiteBox(gradient="exact")
    attack.check(ste, NoDefense(), 3)
    reason = "attack.loss=dlr compares the first logit with the third, and there are 2 classes; choose ce"
    with pytest.raises(SenselessError, match=reason):
        attack.check(ste, NoDefense(), 2)
    images, labels = data(2)
    with pytest.raises(SenselessError, match=reason):
        attack.run(Brightness(2), images, labels, seed=0)
    for name in ("ce", "margin"):
        PGD(eps=0.1, steps=1, step_size=0.1, loss=name).check(ste, NoDefense(), 2)
    values = torch.tensor([[3.0, 1, 0]])
    assert LOSSES["dlr"](values, torch.tensor([0])).item() == pytest.approx(-2 / 3)


class Halves(nn.Module):
    """Two logits: by how much the upper half is brighter than the lower one, and the reverse."""

    def forward(self, images):
        half = images.shape[2] // 2
        difference = images[:, :, :half].mean((1, 2, 3)) - images[:, :, half:].mean((1, 2, 3))
        return torch.stack([difference, -difference], 1)


def brighter_above(height, width):
    """Images (6, 1, height, width), a radius at which they can be turned round, in l2, and labels."""
    images = 0.4 + 0.2 * torch.rand(6, 1, height, width, generator=torch.Generator().manual_seed(0))
    images[:, :, : height // 2] += 0.03
    images[:, :, height // 2 :] -= 0.03
    return images, 0.1 * (height * width) ** 0.5, torch.zeros(6, dtype=torch.int64)


@pytest.mark.parametrize("size", [(12, 8), (14, 14), (18, 30), (4, 6), (3, 9), (32, 48)])
def test_square_in_l2_takes_images_of_any_size(size):
    """Sizes at which the package fails."""
    model, (images, eps, labels) = Halves(), brighter_above(*size)
    settings = {"norm": "L2", "eps": eps, "n_queries": 300, "device": "cpu"}
    with pytest.raises((RuntimeError, ZeroDivisionError)):
        SquareAttack(model, **settings).perturb(images, labels)
    attack = AnySize(model, **settings)
    points = attack.perturb(images, labels)
    assert points.shape == images.shape
    assert (points - images).flatten(1).norm(dim=1).max() <= eps + 1e-5
    assert accuracy(model, images, labels) == 1
    assert accuracy(model, points, labels) == 0
    (line,) = attack.remarks(*size)
    assert f"images of {size[0]} x {size[1]} with {attack.padding(*size)} rows of zeros" in line
    found = AutoAttack(eps=eps / 100, norm="l2", steps=1, queries=2).run(model, images, labels, seed=0)
    assert line in found.facts["log"]
    assert found.tensors["autoattack_flags"].all()


@pytest.mark.parametrize(
    ("size", "norm"), [((8, 12), "L2"), ((8, 8), "L2"), ((13, 9), "L2"), ((32, 32), "L2"), ((12, 8), "Linf")]
)
def test_square_is_the_packages_where_that_works(size, norm):
    model, (images, eps, labels) = Halves(), brighter_above(*size)
    eps = eps if norm == "L2" else 0.1
    settings = {"norm": norm, "eps": eps, "n_queries": 300, "device": "cpu", "seed": 3}
    ours, theirs = (kind(model, **settings) for kind in (AnySize, SquareAttack))
    points = theirs.perturb(images, labels)
    assert not torch.equal(points, images)
    assert torch.equal(ours.perturb(images, labels), points)
    assert ours.remarks(*size) == []


@pytest.fixture
def two_classes(tmp_path):
    """Settings of a data set of two classes in files, 8 x 12 pixels."""
    for split, n in (("train", 24), ("test", 8)):
        images, labels = data(2, n)
        for i, (image, label) in enumerate(zip(images, labels, strict=True)):
            folder = tmp_path / "data" / "two" / split / str(label.item())
            folder.mkdir(parents=True, exist_ok=True)
            to_pil_image(image).save(folder / f"{i}.png")
    return (
        "scale=smoke",
        "dataset=files",
        "preset=vq/digits",
        "dataset.name=two",
        "dataset.shape=[1,8,12]",
        "dataset.num_classes=2",
        f"dataset.root={tmp_path / 'data'}",
        "training.epochs=60",
        "classifier.width=4",
    )


def test_the_command_line_refuses_dlr_before_any_work(vqexp, two_classes, tmp_path):
    status, _, err = vqexp(*two_classes, "attack.loss=dlr")
    assert status == 2
    assert "attack.loss=dlr compares" in err
    assert not any((tmp_path / "store").rglob("*.safetensors"))


def test_an_audit_of_two_classes(vqexp, two_classes):
    """At an eps where nothing succeeds, so that every member of every attack has its turn."""
    labels = ["no attack", "AutoAttack", "PGD, DLR", "one target after the other", "Square Attack"]
    only = f"table.only_rows={json.dumps(labels)}"
    note.cache_clear()
    status, out, err = vqexp("-m", "table=audit", "defense=prd", "preset.eps=0.001", only, *two_classes)
    assert status == 0, err
    assert all(line.startswith("note: AutoAttack: ") for line in err.splitlines())
    page = out[out.index("# Audit: pRD on two") :]
    left_out = "Left out (attack.loss=dlr compares the first logit with the third, and there are 2 classes;"
    assert left_out in page
    rows = [line.split(" | ") for line in page.splitlines() if line.startswith("| ") and "[" in line]
    found = {label.removeprefix("| "): accuracy.split()[0] for label, _, accuracy, *_ in rows}
    autoattack = ("AutoAttack that ignores the defense", "AutoAttack, EOT")
    others = ("no attack", "Square Attack", "PGD, one target after the other")
    assert found == dict.fromkeys((*autoattack, *others), "100.00")
    assert "apgd-t is left out" in err
    assert "apgd-dlr is left out" in err
