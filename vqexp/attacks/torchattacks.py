"""The attacks of torchattacks (https://github.com/Harry24k/adversarial-attacks-pytorch), by name."""

import inspect
import io
import re
from contextlib import redirect_stdout
from typing import Any, ClassVar

import torchattacks as library
from torch import Tensor
from torchattacks.attack import Attack as TheirAttack

from vqexp.attacks.apgd import NORM_NAMES
from vqexp.attacks.named import Named
from vqexp.attacks.watched import Watched

RADII = ("eps", "max_epsilon")


class TorchAttacks(Named):
    """`torchattacks.<name>`. A step size `alpha` that is not set keeps its default's ratio to eps."""

    LIBRARY = "torchattacks"
    OURS: ClassVar[tuple[str, ...]] = ("model", "norm", "seed", "n_classes", *RADII)
    WITHOUT_GRADIENT: ClassVar[tuple[str, ...]] = ("GN", "OnePixel", "Pixle", "SPSA", "Square", "VANILA")

    @classmethod
    def classes(cls) -> dict[str, type]:
        """All but those that are made of other attacks or of training data."""
        found = {
            name: kind
            for name, kind in vars(library).items()
            if inspect.isclass(kind) and issubclass(kind, TheirAttack)
        }
        return {name: kind for name, kind in found.items() if name not in ("LGV", "MultiAttack")}

    def norms(self, attack: Any) -> list[str]:
        """What the class's docstring says of its distance."""
        told = re.search(r"Distance Measure\s*:\s*(.+)", attack.__doc__ or "")
        return [name.lower() for name in re.findall(r"L\w+", told[1])] if told else []

    def build(self, view: Watched, classes: int, seed: int) -> Any:
        """The library's object; it prints that the view has no parameters to tell the device from."""
        ours = {"norm": NORM_NAMES[self.norm], "seed": seed, "n_classes": classes}
        ours |= {name: self.eps for name in RADII}
        defaults = inspect.signature(self.kind).parameters
        if "alpha" in defaults and "eps" in defaults:
            ours["alpha"] = self.eps * defaults["alpha"].default / defaults["eps"].default
        settings = {**{name: value for name, value in ours.items() if name in self.takes}, **self.settings}
        with redirect_stdout(io.StringIO()):
            return self.kind(view, **settings)

    def find(self, attack: Any, view: Watched, images: Tensor, labels: Tensor) -> Tensor:
        """What the library calls adversarial."""
        attack.set_device(images.device)
        with redirect_stdout(io.StringIO()):
            points: Tensor = attack(images, labels)
        return points
