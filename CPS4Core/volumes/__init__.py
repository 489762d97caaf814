"""Volumes in and out: files and DICOM series, sagittal stacks, label maps with names."""
