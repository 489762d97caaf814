"""Sagittal slices at the working size: how they are made from a volume, and their cache."""
