"""Stage 1: class-consistent vision-language pretraining."""
