"""Tests may import `tiny` and other helpers that lie beside them."""

import sys
from pathlib import Path

collect_ignore_glob = ["*_driver.py"]  # programs that tests start

sys.path.insert(0, str(Path(__file__).parent))
