"""A student out with lineage and card; one trained elsewhere in."""
