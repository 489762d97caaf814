"""Semi-supervised methods: one file each, behind one small interface."""
