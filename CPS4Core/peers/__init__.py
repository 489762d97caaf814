"""Programs of others that are trained on the same cases, to compare with."""
