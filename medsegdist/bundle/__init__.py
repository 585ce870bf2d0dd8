"""medsegdist as a MONAI Bundle: its workflows `rank` and `transfer`, for `python -m monai.bundle run`."""
