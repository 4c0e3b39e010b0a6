"""Certificates: from votes to a label or an abstention, and a radius."""

from vqexp.certificates.base import Certificate
from vqexp.certificates.certify import certify
from vqexp.certificates.cohen import Cohen
from vqexp.certificates.intervals import INTERVALS
from vqexp.certificates.laplace import Laplace
from vqexp.certificates.pixeldp import PixelDP
from vqexp.certificates.renyi import Renyi
from vqexp.certificates.smoothed import ABSTAIN, CERTIFICATES, Certified, certified

__all__ = [
    "ABSTAIN",
    "CERTIFICATES",
    "INTERVALS",
    "Certificate",
    "Certified",
    "Cohen",
    "Laplace",
    "PixelDP",
    "Renyi",
    "certified",
    "certify",
]
