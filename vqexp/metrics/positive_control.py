"""A positive control: adversarial points that are known to exist, of which an attack must find nearly all.

Zimmermann, Brendel, Tramer & Carlini 2022, "Increasing Confidence in Adversarial Robustness Evaluations", the
binarization test. Around each image a linear readout of the classifier's penultimate features tells points
inside the ball from one point on its boundary. That point is adversarial for the readout, so an attack that
seldom finds such a point says nothing about the classifier's robustness either.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from vqexp.adversaries.view import view_of
from vqexp.attacks.base import project
from vqexp.attacks.randomness import Randomness
from vqexp.core.draws import Draw
from vqexp.core.errors import SenselessError, check_number
from vqexp.core.estimate import proportion
from vqexp.core.keys import seed_of
from vqexp.core.modes import freeze
from vqexp.core.progress import stepwise
from vqexp.core.random_module import call
from vqexp.core.reductions import mean
from vqexp.metrics.readout import Features, Readout, last_linear, separating
from vqexp.pipeline.experiment import Experiment
from vqexp.pipeline.metric import Measurement, Metric, needs_attack
from vqexp.pipeline.stages import Stages

TITLES = {
    "found": "known adversarial points that the attack finds",
    "by_chance": "known adversarial points that random sampling finds",
    "usable": "images on which there is such a point",
}


class PositiveControl(Metric):
    """inner: points drawn inside each ball, >= 2. draws: of a random classifier, over which their features
    are averaged. tries: points that random sampling looks at. runs: draws that judge a point; it is
    adversarial if it is so in most of them. All >= 1.
    """

    LAYERS = True

    def __init__(self, *, inner: int, draws: int, tries: int, runs: int, cost: str = "light") -> None:
        super().__init__(cost=cost)
        check_number("metric.inner", inner, low=2, integer=True)
        for name, count in (("draws", draws), ("tries", tries), ("runs", runs)):
            check_number(f"metric.{name}", count, low=1, integer=True)
        self.inner, self.draws, self.tries, self.runs = inner, draws, tries, runs

    def check(self, experiment: Experiment) -> None:
        """Refuse what has no last linear layer, or a defense that acts on f's outputs."""
        needs_attack("positive_control", experiment)
        if "batch" in experiment.statistics:
            raise SenselessError(
                "metric=positive_control looks at one image at a time, which statistics=batch cannot judge"
            )
        defense = experiment.defense
        if not (defense.preprocesses or defense.installs):
            raise SenselessError(
                f"metric=positive_control reads f's features, but {defense.name} acts on more than f's input"
            )
        image = torch.zeros(1, *experiment.dataset.shape)
        if last_linear(freeze(experiment.classifier()), image) is None:
            raise SenselessError("metric=positive_control needs an f that ends in a linear layer (nn.Linear)")

    def measure(self, stages: Stages) -> Measurement:
        """Shares of the usable images on which the attack, or random sampling, finds an adversarial point."""
        attack = stages.experiment.identity("attack")
        settings: list[Any] = [self.VERSION, self.inner, self.draws, self.tries, self.runs, attack]
        found = stages.chunked("control", settings, self._of_chunk(stages), adversarial=False, seen=True)
        usable = found["usable"]
        estimates = {
            f"control_{name}": proportion(
                values.unsqueeze(0), None if name == "usable" else usable, title=TITLES[name]
            )
            for name, values in found.items()
        }
        counts = {"ids": stages.images.ids, "labels": stages.images.labels}
        return Measurement(estimates, counts | {f"control_{name}": values for name, values in found.items()})

    def _of_chunk(self, stages: Stages) -> Callable[[int], dict[str, Tensor]]:
        def compute(index: int) -> dict[str, Tensor]:
            images, ids = stages.inputs(index, False), stages.images.ids[stages.chunks[index]]
            each = [
                self._of_image(stages, images[i : i + 1], ids[i : i + 1])
                for i in stepwise(range(len(images)))
            ]
            names = ("found", "by_chance", "usable")
            return {name: torch.tensor([found[name] for found in each]) for name in names}

        return compute

    def _of_image(self, stages: Stages, image: Tensor, row: Tensor) -> dict[str, bool]:
        experiment, attack = stages.experiment, stages.experiment.attack
        layer = last_linear(stages.classifier, image)
        assert layer is not None
        chance = Randomness(seed_of(experiment.seed, "control"), row)
        known = _corners(image, 1, attack.eps, attack.norm, chance)
        inside = torch.cat([image, _inside(image, self.inner - 1, attack.eps, attack.norm, chance)])
        features = stages.defense.wrap(Features(stages.classifier, layer))

        def averaged(points: Tensor) -> Tensor:
            ids = row.expand(len(points))
            return mean(stages.draws(features, points, ids, "rank", self.draws))

        readout = Readout(stages.classifier, layer, *separating(averaged(inside), averaged(known)))
        model = freeze(stages.defense.wrap(readout))

        def adversarial(point: Tensor) -> bool:
            blocks = stages.draws(model, point, row, "report", self.runs)
            return bool(torch.cat([logits.argmax(2) for logits in blocks]).double().mean() > 0.5)

        usable = adversarial(known) and not adversarial(image)
        if not usable:
            return {"found": False, "by_chance": False, "usable": False}
        view = freeze(view_of(experiment.adversary.view(readout, stages.defense)))
        label = torch.zeros(1, dtype=torch.int64, device=image.device)
        seed = seed_of(experiment.seed, "control")
        view.start(seed, row)
        # not `run`, which would fill the batch up with copies of the image
        attacked = attack.perturb(view, image, label, Randomness(seed, row))
        points = [attacked.images] if attacked.candidates is None else list(attacked.candidates)
        half = self.tries // 2
        tried = torch.cat(
            [
                _inside(image, self.tries - half, attack.eps, attack.norm, chance),
                _corners(image, half, attack.eps, attack.norm, chance),
            ]
        )
        with torch.no_grad():
            scores = call(model, tried, Draw("rank", 0, row.expand(len(tried))))
        best = tried[scores[:, 1].argmax()].unsqueeze(0)
        return {
            "found": any(adversarial(point) for point in points),
            "by_chance": adversarial(best),
            "usable": True,
        }


def _inside(image: Tensor, count: int, eps: float, norm: str, chance: Randomness) -> Tensor:
    """Points (count, C, H, W) inside the ball around an image (1, C, H, W), and inside [0, 1]."""
    if norm == "linf":
        noise = 2 * chance.uniform(count, *image.shape[1:])[0] - 1
        return (image + eps * noise.to(image)).clamp(0, 1)
    noise = chance.normal((count, *image.shape[1:]))[0]
    length = chance.uniform(count)[0].view(-1, 1, 1, 1) / noise.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    return (image + eps * (length * noise).to(image)).clamp(0, 1)


def _corners(image: Tensor, count: int, eps: float, norm: str, chance: Randomness) -> Tensor:
    """Points (count, C, H, W) on the boundary of the ball: in l-inf its corners, inside [0, 1]."""
    noise = chance.signs(count, *image.shape[1:])[0]
    points = image.expand(count, *image.shape[1:])
    length = eps if norm == "linf" else eps / noise[:1].numel() ** 0.5
    return project(points + length * noise.to(image), points, eps, norm)
