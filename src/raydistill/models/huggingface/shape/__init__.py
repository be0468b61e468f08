"""The parts of a checkpoint's shape: dimensions, the list of blocks, and the size of each."""
