"""An attack of another library, chosen by the name of its class."""

import inspect
from collections.abc import Mapping
from copy import copy
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from vqexp.adversaries.view import View
from vqexp.attacks.base import Adversarial, Attack, project
from vqexp.attacks.randomness import Randomness
from vqexp.attacks.watched import Watched
from vqexp.core.errors import (
    ConfigError,
    MissingError,
    SenselessError,
    WorkError,
    check_number,
    one_line,
    one_of,
    require,
)
from vqexp.core.generators import generators_kept, seed_generators


class Named(Attack):
    """Subclasses know the classes of one library, how to build one, and in which norms it measures.

    name: of the class. settings: arguments of its constructor; what is left out keeps the library's default.
    eps, norm and the seed are ours, and reach the class where it takes them. Points that it leaves outside
    the ball are projected onto it.

    Raises `ConfigError` for an unknown class or setting, naming what exists, and for a value that the class
    refuses; `SenselessError` for a norm that is not the class's.
    """

    LIBRARY: ClassVar[str]
    OURS: ClassVar[tuple[str, ...]]  # arguments that follow from eps, norm, seed, view and number of classes
    WITHOUT_GRADIENT: ClassVar[tuple[str, ...]]  # names, or their ends, of classes that ask for logits alone
    PLAIN: ClassVar[tuple[str, ...]] = ("settings",)

    def __init__(self, *, name: str, settings: Mapping[str, Any] | None = None, **ours: Any) -> None:
        super().__init__(**ours)
        classes = self.classes()
        one_of("attack.name", name, sorted(classes))
        self.name, self.kind, self.settings = name, classes[name], dict(settings or {})
        self.needs_gradient = not name.endswith(self.WITHOUT_GRADIENT)
        parameters = inspect.signature(self.kind).parameters
        self.takes = [
            parameter.name
            for parameter in parameters.values()
            if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        ]
        own = [setting for setting in self.takes if setting not in self.OURS]
        unknown = ", ".join(setting for setting in self.settings if setting not in own)
        require(
            not unknown,
            f"attack.settings has no {unknown}; {self.LIBRARY}.{name} takes {', '.join(own) or 'none'}",
        )
        for setting, value in self.settings.items():
            _check_like_default(f"attack.settings.{setting}", value, parameters[setting].default)
        norms = self.norms(self._built())
        if norms and self.norm not in norms:
            raise SenselessError(
                f"attack.norm is {self.norm}, but {self.LIBRARY}.{name} measures in {' or '.join(norms)}"
            )

    def _setting(self, name: str) -> Any:
        """As every attack's, of the class."""
        parameter = inspect.signature(self.kind).parameters.get(name)
        return self.settings.get(name, parameter and parameter.default)

    def of_length(self, **lengths: int) -> Self:
        """As every attack's."""
        other = copy(self)
        other.settings = {**self.settings, **lengths}
        return other

    def _built(self) -> Any:
        """The library's object on a view of nothing, to see now what it says of its settings."""
        try:
            return self.build(Watched(torch.nn.Identity()), 10, 0)
        except ImportError as error:
            raise MissingError(f"{self.LIBRARY}.{self.name} needs a package: {one_line(error)}") from None
        except Exception as error:  # whatever the library raises
            raise ConfigError(f"{self.LIBRARY}.{self.name} cannot be built: {one_line(error)}") from None

    @classmethod
    def classes(cls) -> dict[str, type]:
        """The library's attacks by name."""
        raise NotImplementedError

    def norms(self, attack: Any) -> list[str]:
        """The norms in which the library's object measures; none if it does not say."""
        raise NotImplementedError

    def build(self, view: Watched, classes: int, seed: int) -> Any:
        """The library's object with all settings."""
        raise NotImplementedError

    def find(self, attack: Any, view: Watched, images: Tensor, labels: Tensor) -> Tensor:
        """The points (N, C, H, W) of the library's object, inside the ball or not."""
        raise NotImplementedError

    def perturb(self, view: View, images: Tensor, labels: Tensor, randomness: Randomness) -> Adversarial:
        """The points, projected; the log says how the class was called."""
        watched, start = InBox(view), images.clamp(0, 1)
        with generators_kept():
            seed_generators(randomness.seed)
            with torch.no_grad():
                classes = view(start[:1]).shape[1]
            attack = self.build(watched, classes, randomness.seed)
            try:
                points = self.find(attack, watched, start, labels).detach()
            except (ConfigError, WorkError, torch.OutOfMemoryError):
                raise
            except Exception as error:  # whatever the library raises
                what = f"{type(error).__name__}: {one_line(error)}"
                raise WorkError(f"{self.LIBRARY}.{self.name} fails: {what}") from error
        log = (
            f"{self.LIBRARY}.{self.name}, {self.norm}, eps {self.eps:.6g}, {self.settings or 'its defaults'}"
        )
        return Adversarial(project(points.to(images), images, self.eps, self.norm), facts={"log": log})


def _check_like_default(name: str, value: Any, default: Any) -> None:
    """Raise `ConfigError` unless the value is what its default is: a flag, a text, or a number (and >= 0)."""
    if isinstance(default, bool | str):
        kind = {bool: "true or false", str: "a text"}[type(default)]
        require(isinstance(value, type(default)), f"{name} is {value!r}; it must be {kind}")
    elif isinstance(default, int | float):
        check_number(name, value, low=0 if default >= 0 else None)


class InBox(Watched):
    """Some attacks also ask beside [0, 1]: they get the answer, and the gradient, at the nearest image."""

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, classes)."""
        beside = images.detach()
        return super().forward(images + (beside.clamp(0, 1) - beside))
