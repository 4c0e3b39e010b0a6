"""Names for readers: a column's heading from its key, and a figure's paper from its source."""

import re

SPELLED = {
    **{name: name.upper() for name in ("pgd", "eot", "ste", "psnr", "ssim", "fgsm", "cw", "kl", "mnist")},
    "autoattack": "AutoAttack",
    "deepfool": "DeepFool",
    "mifgsm": "MI-FGSM",
    "cifar10": "CIFAR-10",
    "renyi": "Rényi",
    "pixeldp": "PixelDP",
    "cohen": "Cohen",
    "white": "white box",
    "black": "black box",
}
STEPS = re.compile(r"(pgd)(\d+)")  # `pgd10`, PGD of ten steps
PLACE = re.compile(r"(?:, | (?:Table|Figure)s? ).*")


def column_title(column: str) -> str:
    """Returns `EOT AutoAttack` for `eot_autoattack`, and `natural - robust` as it is."""
    if " - " in column:
        return " - ".join(map(column_title, column.split(" - ")))
    words = [STEPS.sub(r"\1-\2", word) for word in re.split(r"[_ ]", column)]
    return " ".join("-".join(SPELLED.get(part, part) for part in word.split("-")) for word in words)


def paper_of(source: str) -> str:
    """Returns `journal` for `journal Table 2`, and `Ma et al. 2023` for `Ma et al. 2023, Table 1`."""
    return PLACE.sub("", source)
