"""The attacks of foolbox (https://github.com/bethgelab/foolbox), by name."""

import inspect
import warnings
from typing import Any, ClassVar

import foolbox as library
from foolbox.attacks.base import AttackWithDistance, FixedEpsilonAttack
from foolbox.distances import LpDistance, l2, linf
from torch import Tensor

from vqexp.attacks.named import Named
from vqexp.attacks.watched import Watched

# starting points, images of other classes, a target
NEED_MORE = ("BinarizationRefinementAttack", "DatasetAttack", "GenAttack")
DISTANCES = {"linf": linf, "l2": l2}


class Foolbox(Named):
    """`foolbox.attacks.<name>`: at eps, or, if it looks for the nearest points, without a bound."""

    LIBRARY = "foolbox"
    OURS: ClassVar[tuple[str, ...]] = ("distance",)
    WITHOUT_GRADIENT: ClassVar[tuple[str, ...]] = (
        "BlurAttack",
        "BoundaryAttack",
        "ContrastReductionAttack",
        "HopSkipJumpAttack",
        "InversionAttack",
        "NoiseAttack",
        "PointwiseAttack",
    )

    @classmethod
    def classes(cls) -> dict[str, type]:
        """All that need nothing but images and labels."""
        found = {
            name: kind
            for name, kind in vars(library.attacks).items()
            if inspect.isclass(kind) and issubclass(kind, AttackWithDistance)
        }
        return {name: kind for name, kind in found.items() if name not in NEED_MORE}

    def norms(self, attack: Any) -> list[str]:
        """The object's own distance, or ours where that is a setting."""
        distance = getattr(attack, "distance", None)
        if not isinstance(distance, LpDistance):
            return []
        return ["linf" if distance.p == float("inf") else f"l{distance.p:g}"]

    def build(self, view: Watched, classes: int, seed: int) -> Any:
        """The library's object."""
        ours = {"distance": DISTANCES[self.norm]} if "distance" in self.takes else {}
        return self.kind(**ours, **self.settings)

    def find(self, attack: Any, view: Watched, images: Tensor, labels: Tensor) -> Tensor:
        """The points as the library finds them, before it clips them."""
        model = library.PyTorchModel(view, bounds=(0, 1), device=images.device)
        epsilon = self.eps if isinstance(attack, FixedEpsilonAttack) else None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that some images have no start
            points, _, _ = attack(model, images, library.Misclassification(labels), epsilons=epsilon)
        return points if isinstance(points, Tensor) else points.raw
