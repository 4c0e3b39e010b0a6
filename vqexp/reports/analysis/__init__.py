"""From records to points, comparisons and judged claims."""
