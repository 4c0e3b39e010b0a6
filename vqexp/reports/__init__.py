"""Tables and figures: their cells, the sweeps that measure them, the report."""
