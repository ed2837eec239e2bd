"""The part of the build that pyproject.toml cannot say: Resources/ goes into the package."""

from __future__ import annotations

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["LowResSegLib", "LowResSegLib.*"]), "LowResSegLib.Resources"],
    # At the top of the checkout, because the Slicer extension installs them from there too.
    package_dir={"LowResSegLib.Resources": "Resources"},
    include_package_data=False,
    package_data={"LowResSegLib.Resources": ["**/*"], "LowResSegLib.training": ["configs/*.yaml"]},
)
