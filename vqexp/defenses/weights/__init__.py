"""Random weights, filters and normalizations inside f."""
