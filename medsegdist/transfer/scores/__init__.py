"""Scores of pre-trained networks and of datasets, which others use in the place of a distance between datasets."""
