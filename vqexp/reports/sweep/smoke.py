"""What scale=smoke makes of a table's cell: the same defense, adversary, attack and metric on digits."""

from collections.abc import Sequence

# Settings that are tied to the dataset that the cell had, or to a budget.
REPLACED = (
    "dataset",
    "classifier",
    "attack.eps",
    "attack.steps",
    "attack.batch_size",
    "attack.step_size",
    "defense.s",
    "defense.k",
)
STAND_INS = ("dataset=digits", "classifier=small_cnn")


def smoke(overrides: Sequence[str]) -> list[str]:
    """The cell's overrides without those that digits cannot hold or that spend time, on digits.

    Which defense, adversary, attack, training and metric there are stays, and how they are set otherwise.
    """
    return [override for override in overrides if not _replaced(override)] + list(STAND_INS)


def _replaced(override: str) -> bool:
    name = override.split("=", 1)[0]
    if name.startswith("metric."):  # draws and samples
        return True
    return name in REPLACED or name.split(".")[0] in ("dataset", "preset", "classifier")
