"""What is said of a checkpoint: how it was made to fit, or why it does not, each in one line."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from vqexp.classifiers.matching import Match

LISTED = 4  # names, before it becomes a number of them


def adjustments(fit: Match) -> str:
    """What was taken, stripped, filled in and left out; empty if the file fits as it is."""
    said = []
    if fit.weights.where:
        said.append(f"took {fit.weights.where}")
    if fit.prefix:
        said.append(f"stripped {fit.prefix} from the names")
    if "1" in fit.prefix.split(".") and not fit.normalization:  # in a Sequential, behind something
        said.append(
            "what stood before the network is not in it (a normalization: set classifier.mean and .std)"
        )
    if fit.filled:
        said.append(f"filled in num_batches_tracked of {len(fit.filled)} layers")
    if fit.left_out:
        said.append(f"left out {_listed(fit.left_out)}")
    return "; ".join(said)


def misfit(nearest: Match, expected: Mapping[str, Tensor]) -> str:
    """Why it is of another network than `expected`, a state dict: the first name of each kind."""
    found, missing = nearest.state, nearest.missing
    unexpected, misshapen = nearest.unexpected, nearest.misshapen
    if classes := _classes(nearest, expected):
        return f"has {classes[0]} classes, the dataset has {classes[1]}"
    said = []
    if missing:
        said.append(f"lacks {missing[0]}, of shape {tuple(expected[missing[0]].shape)}{_more(missing)}")
    if unexpected:
        said.append(f"has {unexpected[0]}{_more(unexpected)}, which the classifier does not")
    if misshapen:
        name = misshapen[0]
        said.append(
            f"has {name} of shape {tuple(found[name].shape)}{_more(misshapen)}, where the classifier expects "
            f"{tuple(expected[name].shape)}"
        )
    return f"is of another classifier: it {', '.join(said)}"


def settings(normalization: Mapping[str, Tensor]) -> str:
    """The settings of the classifier for a normalization's `mean` and `std` (channels,)."""
    values = {
        name: ",".join(f"{value:.6g}" for value in each.tolist()) for name, each in normalization.items()
    }
    return " ".join(f"'classifier.{name}=[{values[name]}]'" for name in sorted(values))


def _classes(nearest: Match, expected: Mapping[str, Tensor]) -> tuple[int, int] | None:
    """The file's classes and the network's, if the last layer's rows are all that differs."""
    last = list(expected)[-2:]  # a weight and a bias
    if nearest.faults != len(nearest.misshapen) or not set(nearest.misshapen) <= set(last):
        return None
    pairs = [(tuple(nearest.state[name].shape), tuple(expected[name].shape)) for name in nearest.misshapen]
    if any(found[1:] != wanted[1:] for found, wanted in pairs) or not any(wanted[1:] for _, wanted in pairs):
        return None
    return pairs[0][0][0], pairs[0][1][0]


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more


def _more(names: Sequence[str]) -> str:
    return f" (and {len(names) - 1} more)" if len(names) > 1 else ""
