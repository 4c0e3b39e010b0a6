"""The two papers on vector quantization: Proposition 1, the KL bound, the schematics."""

from vqexp.papers.vq.kl_bound import KLBound
from vqexp.papers.vq.proposition1 import Certified, certified_accuracy, certified_error, vote_certificate

__all__ = ["Certified", "KLBound", "certified_accuracy", "certified_error", "vote_certificate"]
