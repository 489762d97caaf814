"""Puts the models of Resources/models into the wheel; everything else stands in pyproject.toml."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

MODELS = Path("Resources", "models")


class BuildWithModels(build_py):
    """Copies the models into the package, where CPS4Core/inference/models.py looks for them."""

    def run(self):
        super().run()
        # A source checkout, editable or not, finds them beside the package.
        if MODELS.is_dir() and not getattr(self, "editable_mode", False):
            target = Path(self.build_lib, "CPS4Core", MODELS)
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(MODELS, target, ignore=shutil.ignore_patterns("openvino", ".*"))


setup(cmdclass={"build_py": BuildWithModels})
