"""What the random-weights paper alone needs: its bounds."""

from vqexp.papers.ctrw.bounds import lower_bound, probability_unlike, sufficient_lower_bound, upper_bound

__all__ = ["lower_bound", "probability_unlike", "sufficient_lower_bound", "upper_bound"]
