"""The training loop that every stage and every method shares."""
