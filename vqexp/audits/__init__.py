"""The audit of a defense: its rows, the worst case over them, attack checks, verdict."""
