"""Everything made, under the hash of what made it."""
