"""Stage 1: objectives of vision-language pretraining, one file each, behind one interface."""
