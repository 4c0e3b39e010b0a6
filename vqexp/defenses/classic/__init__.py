"""Preprocessors of other papers, and controls that are known to be broken."""
