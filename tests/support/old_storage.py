"""The storage of version 0.1.0 that later versions read."""

import tarfile
from pathlib import Path

ARCHIVE = Path(__file__).parents[1] / "fixtures" / "storage_0_1_0.tar.xz"


def unpack(folder):
    """Put it into a folder; Python before 3.11.4 knows no filters, and the archive is ours."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extraction_filter = getattr(tarfile, "data_filter", None)
        archive.extractall(folder)  # noqa: S202  (ours)
