"""The audit of a defense: members, evidence, verdict."""
