"""Data, losses, the training loop, evaluation and export. Needs the extra `train` (torch, MONAI, Lightning)."""
