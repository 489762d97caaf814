"""Prompt maps: from a prompt's attention to a threshold, a binary map and the integrated map."""
