"""What all use and that uses nobody: errors, units, parts, JSON, paths, signals, redaction."""
