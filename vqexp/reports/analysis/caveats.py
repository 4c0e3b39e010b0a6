"""What of a measurement a reader has to know: a classifier that is brittle, a training that was cut down."""

from collections.abc import Iterable, Mapping
from typing import Any

from vqexp.core.keys import key_of

CONTRAST = "vqexp.defenses.Contrast"  # the cells that measure f alone on images of less contrast
BRITTLE = 0.5  # f keeps less than this part of its accuracy there


def f_of(record: Mapping[str, Any]) -> str:
    """A key of the record's classifier; nothing where the record does not name it."""
    return key_of(record["classifier"]) if record.get("classifier") else ""


def brittle(records: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Classifiers, by `f_of`, that lose most of their accuracy to a change of contrast alone, in words."""
    found: dict[str, str] = {}
    changed = [record for record in records if record["config"]["defense"]["_target_"] == CONTRAST]
    for record in sorted(changed, key=lambda record: record["config"]["defense"]["low"]):  # mildest first
        contrast, alone = (
            record["metrics"][name]["mean"] for name in ("natural_accuracy", "undefended_natural_accuracy")
        )
        if contrast < BRITTLE * alone:
            low, high = (record["config"]["defense"][name] for name in ("low", "high"))
            words = f"{100 * contrast:.0f} % of clean images right in {low:g}..{high:g}"
            found.setdefault(f_of(record), f"brittle to contrast ({words})")
    return found


def cut_down(record: Mapping[str, Any]) -> str:
    """How f's training falls short of its preset's recipe, in words; nothing where it does not."""
    training = (record.get("classifier") or {}).get("training")
    if not training:
        return ""
    full, epochs = record["config"]["preset"]["standard"]["epochs"], training.get("epochs", 0)
    images = record["classifier"]["data"][0]
    parts = [f"for {epochs} of {full} epochs"] if epochs < full else []
    parts += [f"on {images} images"] if images is not None else []
    return f"f was trained {' '.join(parts)}" if parts else ""
