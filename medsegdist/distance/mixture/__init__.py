"""Gaussian mixtures of foreground pixels: counted, fitted, refitted to replicates, and compared by MW2."""
