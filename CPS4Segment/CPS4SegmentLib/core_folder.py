"""Where CPS4Core lies, for this process and for those that it starts."""

from __future__ import annotations

from pathlib import Path


def core_folder() -> Path:
    """The folder to put on Python's path so that `import CPS4Core` finds the one that goes with us.

    An extension's build or installation has it beside the module's files, a checkout beside the
    module's folder. Raises FileNotFoundError, with the cure, where neither has.
    """
    module = Path(__file__).resolve().parents[1]
    for folder in (module, module.parent):
        if (folder / "CPS4Core" / "__init__.py").is_file():
            return folder
    raise FileNotFoundError(
        f"The package CPS4Core is missing from {module}. Install the extension once more, or take "
        "the module from a complete checkout."
    )
