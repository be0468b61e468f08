"""Tasks made from held-out text: one file each."""
