"""Segmentation with a trained model: engines, one volume, many files; training stays out of it."""
