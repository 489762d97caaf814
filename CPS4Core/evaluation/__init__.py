"""Evaluation: the same metric rule for every method, per volume at native resolution."""
