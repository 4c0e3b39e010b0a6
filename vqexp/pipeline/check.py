"""What is checked of a run before any work starts, beside what each component checks of itself."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from vqexp.classifiers import check_compiles
from vqexp.core.components import is_ours, nested, target_of
from vqexp.core.draws import Draw
from vqexp.core.errors import ConfigError, SenselessError, WorkError, one_line, require
from vqexp.core.generators import generators_kept
from vqexp.core.inputs import check_kept_shape, check_logits
from vqexp.core.keys import key_of
from vqexp.core.modes import evaluating
from vqexp.core.random_module import call
from vqexp.pipeline.experiment import Experiment

LOCAL = ("zoo", "folder")  # weights that are on this machine

_checked: set[str] = set()  # classifiers that were built


def check(experiment: Experiment) -> None:
    """Raise `ConfigError` with one line, unless the components make sense together, and f can be built."""
    experiment.defense.check(experiment.dataset.shape)
    experiment.defense.computed_by(experiment.dataset.shape, experiment.device)
    experiment.adversary.check(experiment.defense)
    experiment.attack.check(experiment.adversary, experiment.defense, experiment.dataset.num_classes)
    for metric in (experiment.metric, *experiment.further.values()):
        metric.check(experiment)
    check_gradient(experiment)
    check_radius(experiment)
    check_compile(experiment)
    experiment.dataset.check(("test",))  # first, so that tables leave out data that is not here
    check_training(experiment)
    check_defense(experiment)
    check_classifier(experiment)


def check_defense(experiment: Experiment) -> None:
    """Run a preprocessor that is not ours on two gray images: it must keep their shape, and not fail."""
    defense, device = experiment.defense, experiment.device
    if not defense.preprocesses or is_ours(experiment.config["defense"]["_target_"]):
        return
    images = torch.full((2, *experiment.dataset.shape), 0.5, device=device)
    try:
        with evaluating(defense), torch.no_grad(), generators_kept():
            check_kept_shape(defense.name, images, call(defense.to(device), images, Draw("call", 0)))
    except (ConfigError, WorkError) as error:
        raise ConfigError(one_line(error)) from error
    except Exception as error:  # whatever torch, or the user's code, raises
        raise ConfigError(
            f"defense {defense.name} fails on images of shape {tuple(images.shape)}: "
            f"{type(error).__name__}: {one_line(error)}"
        ) from error


def check_training(experiment: Experiment) -> None:
    """Refuse an f that comes ready where the training is tied to the defense: the f would win, unnoticed."""
    settings = experiment.config["training"]
    factory = target_of("training", settings)
    targets = [factory, *(target_of("training", settings[name]) for name in nested(factory, settings))]
    tied = [target for target in targets if getattr(target, "uses_defense", False) is True]
    if experiment.training is None and tied:
        raise SenselessError(
            f"training by {tied[0].__name__} fits f to the defense, but f comes ready, from "
            "classifier.checkpoint or classifier.weights; choose training=standard, and fine-tune that f "
            "with training@fine_tuning"
        )


def comes_ready(settings: Mapping[str, Any]) -> bool:
    """Whether a classifier's settings say that its library brings its weights."""
    return settings.get("weights") is not None or settings.get("pretrained") is True


def check_classifier(experiment: Experiment) -> None:
    """Build it, once a process: a wrong setting or checkpoint, or weights that are not there, show now.

    Not so what a library brings ready, which it may have to download.
    """
    settings, defense = experiment.config["classifier"], experiment.defense
    may_download = comes_ready(settings) and settings.get("weights") not in LOCAL
    if may_download and experiment.checkpoint is None:
        return
    trainings = [training.behind(defense) for training in experiment.trainings.values()]
    shape, classes = experiment.dataset.shape, experiment.dataset.num_classes
    installed = experiment.identity("defense") if defense.installs else None
    from_file = experiment.checkpoint is not None or any(training.files for training in trainings)
    key = None if from_file else key_of(experiment.origin, installed, list(shape), classes)
    if key not in _checked:
        classifier = experiment.classifier()
        check_output(classifier, shape, classes)
        for training in trainings:
            training.initialize(classifier)
        _checked.update([key] if key else [])


def check_output(classifier: nn.Module, shape: Sequence[int], num_classes: int) -> None:
    """Raise `ConfigError` unless one image of `shape` (C, H, W) gives logits (1, num_classes)."""
    try:
        with evaluating(classifier), torch.no_grad(), generators_kept():
            logits = classifier(torch.full((1, *shape), 0.5))
    except (ConfigError, WorkError):
        raise
    except Exception as error:  # whatever torch, or the user's code, raises
        raise ConfigError(
            f"the classifier fails on an image of shape {tuple(shape)}: {type(error).__name__}: "
            f"{one_line(error)}"
        ) from error
    check_logits(logits, 1)
    require(
        logits.shape[1] == num_classes,
        f"the classifier returns logits of {logits.shape[1]} classes; the dataset has {num_classes}",
    )


def check_gradient(experiment: Experiment) -> None:
    """Refuse an attack that needs a gradient from an adversary that sees none."""
    if experiment.attack.needs_gradient and not experiment.adversary.differentiable:
        attack, adversary = (
            type(part).__name__.lower() for part in (experiment.attack, experiment.adversary)
        )
        raise SenselessError(
            f"attack={attack} follows a gradient, and adversary={adversary} has none; choose attack=square"
        )


def check_compile(experiment: Experiment) -> None:
    """Refuse to compile random layers, whose draws are made outside of any graph, or without a compiler."""
    if experiment.compile:
        defense = experiment.defense
        require(
            not (defense.installs and defense.random),
            f"compile=true is for an f without random layers, and defense {defense.name} puts some into it; "
            "set compile=false",
        )
        check_compiles(experiment.device)


def check_radius(experiment: Experiment) -> None:
    """Refuse a radius that is larger than the box [0, 1] is wide: it is meant in other pixels."""
    attack = experiment.attack
    norm, eps = getattr(attack, "norm", "linf"), getattr(attack, "eps", 0.0)
    most = math.sqrt(math.prod(experiment.dataset.shape)) if norm == "l2" else 1.0
    require(
        eps <= most,
        f"attack.eps is {eps:g}; it must be at most {most:.4g}, the {norm} width of [0, 1] images; "
        f"did you mean attack.eps={eps:g}/255, that is, attack.eps='${{div:{eps:g},255}}'?",
    )
