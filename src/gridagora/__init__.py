"""GridAgora: local energy and flexibility markets on distribution grids."""
