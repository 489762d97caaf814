"""CPS4Core: class-prompt-driven semi-supervised spine segmentation, without Slicer or Qt."""

__version__ = "0.1.0"
