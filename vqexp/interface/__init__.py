"""What Python callers use: an audit or a run of a model that exists as an object."""

from vqexp.interface.audit import audit
from vqexp.interface.evaluate import evaluate

__all__ = ["audit", "evaluate"]
