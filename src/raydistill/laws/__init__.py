"""Laws: forms fitted to points, with intervals that were tested and a range they hold in."""
