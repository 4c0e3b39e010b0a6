"""What one paper alone needs, under its name."""
