"""Running the cells of a table, a figure or an audit."""
