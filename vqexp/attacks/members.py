"""Which attacks of AutoAttack exist for how many classes."""

from collections.abc import Sequence

# DLR compares the highest logit with the third, targeted DLR with the fourth; the other attacks do with two
CLASSES = {"apgd-dlr": 3, "apgd-t": 4}


def members(wanted: Sequence[str], classes: int) -> tuple[list[str], list[str]]:
    """Of the package's attacks `wanted` those that exist for so many classes, and a line for each other one.

    With three classes the untargeted DLR takes the place of the targeted one.
    """
    kept, lines = [], []
    for name in wanted:
        needed = CLASSES.get(name, 2)
        if classes >= needed:
            kept.append(name)
            continue
        instead = name == "apgd-t" and classes >= CLASSES["apgd-dlr"] and "apgd-dlr" not in wanted
        kept += ["apgd-dlr"] if instead else []
        lines.append(
            f"{name} is left out: its loss compares {needed} classes, and there are {classes}"
            + ("; apgd-dlr in its place" if instead else "")
        )
    return kept, lines
