"""A ranking of sources that has learned from the transfers of a library of datasets."""
