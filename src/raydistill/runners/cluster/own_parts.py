"""One's own parts on the workers of a cluster: Ray's runtime environment carries them there."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from raydistill.core.parts import FOLDERS, PARTS_VARIABLE, SENT_FOLDER, own_folder


@contextmanager
def with_own_parts(environment: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """A runtime environment with these variables and one's own parts, to connect within the block.

    Of their folder go the folders of parts, and the modules and packages beside them.
    """
    folder = own_folder()
    if folder is None:
        yield {"env_vars": dict(environment)}
        return
    with TemporaryDirectory() as temporary:
        sent = Path(temporary, SENT_FOLDER)
        sent.mkdir()
        for path in sorted(folder.iterdir()):
            if path.suffix == ".py":
                shutil.copyfile(path, sent / path.name)
            elif path.name in FOLDERS or (path / "__init__.py").is_file():
                ignored = shutil.ignore_patterns("__pycache__", ".*")
                shutil.copytree(path, sent / path.name, ignore=ignored)
        variables = {**environment, PARTS_VARIABLE: SENT_FOLDER}
        yield {"env_vars": variables, "py_modules": [str(sent)]}
