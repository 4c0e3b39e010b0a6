"""Additive noise with certificates (Li et al., NeurIPS 2019): the comparison of its bounds."""
