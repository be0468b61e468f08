"""Files that describe a cluster, checked before anybody pays for it."""
