"""What is checked of a run in which BatchNorm normalizes by the batch at hand."""

from vqexp.classifiers import with_statistics
from vqexp.core.errors import ConfigError, SenselessError, require
from vqexp.defenses import Defense
from vqexp.pipeline.experiment import Experiment


def check_statistics(experiment: Experiment) -> None:
    """Raise `ConfigError` with one line, unless f gets every batch whole, of two images at least.

    Batches are the run's images in their order, `attack.batch_size` at a time.
    """
    judged, attacked = experiment.statistics
    if "batch" not in (judged, attacked):
        return
    _check_sizes(experiment)
    defense = experiment.defense
    if not defense.preprocesses and type(defense).wrap is not Defense.wrap:
        raise SenselessError(
            f"statistics=batch needs f to get each batch once, and {defense.name} calls f in its own way; "
            "choose a preprocessor, or classifier.statistics=running"
        )
    seen = experiment.surrogate or experiment
    for name, owner, statistics in (("classifier", experiment, judged), ("adversary", seen, attacked)):
        try:
            with_statistics(owner.classifier(), statistics)
        except ConfigError as error:
            raise type(error)(f"{name}.{error}") from None


def _check_sizes(experiment: Experiment) -> None:
    size, n = experiment.attack.batch_size, len(experiment.dataset.test())
    require(
        size > 1,
        "attack.batch_size is 1, and statistics=batch would normalize each image by itself; "
        "it must be at least 2",
    )
    require(
        n % size != 1,
        f"of {n} images in batches of {size}, the last one is alone, and statistics=batch would normalize it "
        f"by itself; change dataset.n or attack.batch_size",
    )
