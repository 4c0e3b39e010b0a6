"""What a reader has to know of a measurement: that its f is brittle, or that its training was cut down."""

from collections.abc import Iterable

from vqexp.pipeline.record import Record
from vqexp.reports.analysis.classifier import classifier_key

CONTRAST = "vqexp.defenses.Contrast"  # the cells that measure f alone on images of less contrast
BRITTLE = 0.5  # f keeps less than this part of its accuracy there


def brittle(records: Iterable[Record]) -> dict[str, str]:
    """Describes, by key, the classifiers that lose most of their accuracy to a change of contrast."""
    found: dict[str, str] = {}
    changed = [record for record in records if record.config["defense"]["_target_"] == CONTRAST]
    for record in sorted(changed, key=lambda record: record.config["defense"]["low"]):  # mildest first
        contrast, alone = (
            record.metrics[name].mean for name in ("natural_accuracy", "undefended_natural_accuracy")
        )
        if contrast < BRITTLE * alone:
            low, high = (record.config["defense"][name] for name in ("low", "high"))
            words = f"{100 * contrast:.0f} % of clean images right in {low:g}..{high:g}"
            found.setdefault(classifier_key(record), f"brittle to contrast ({words})")
    return found


def cut_down(record: Record) -> str:
    """Says how f's training falls short of its preset's recipe; an empty text if it does not."""
    training = record.classifier.get("training")
    if not training:
        return ""
    full, epochs = record.config["preset"]["standard"]["epochs"], training.get("epochs", 0)
    images = record.classifier["data"][0]
    parts = [f"for {epochs} of {full} epochs"] if epochs < full else []
    parts += [f"on {images} images"] if images is not None else []
    return f"f was trained {' '.join(parts)}" if parts else ""
