"""The parts that docs/extending.md shows, as files."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "extending.md"
BLOCKS = dict(re.findall(r"```python\n# my_parts/(\S+)\n(.*?)```", PAGE.read_text(), re.DOTALL))
