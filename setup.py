"""What pyproject.toml cannot say: the wheel holds `sweeps/` as `raydistill/sweeps/`."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages("src"), "raydistill.sweeps"],
    package_dir={"": "src", "raydistill.sweeps": "sweeps"},
)
