"""Wing 1: what a dataset is, and how it becomes the samples that every distance reads."""
