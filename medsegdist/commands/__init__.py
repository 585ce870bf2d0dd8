"""Commands that have a file of their own; `medsegdist.cli` puts them in their places."""
