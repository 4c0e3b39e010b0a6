"""What a table and a figure are, and which record fills which cell."""
