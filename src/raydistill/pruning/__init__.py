"""Which layers to remove: importance scores, calibration windows, mergekit files."""
