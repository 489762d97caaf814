"""The segmentation network and what is part of it."""
