"""What others measure in the place of a distance between datasets, most of it on a network: to be compared with.

Scores of which more is better have to be negated before they go into `medsegdist agreement` as distances.
"""
