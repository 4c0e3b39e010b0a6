"""Triton kernels of the vector quantizers; imported only where they run."""
