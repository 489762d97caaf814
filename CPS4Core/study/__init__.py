"""Studies: folders of labelled and unlabelled volumes, how they are split, imported and checked."""
