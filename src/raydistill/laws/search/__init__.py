"""The search below the kit: least squares many at once, and the intervals that come of them."""
