"""Simulated anatomy: what a CT or MR slice of an invented patient looks like.

All of it is simulated. Shapes are ellipses, capsules and balls in mm, painted one over the other from back to front;
intensities are textbook values with noise. It depends on NumPy and SciPy alone.

Millimeters run as pixels do: x to the patient's left (columns), y to the back (rows), z to the head. An x or y is
counted from the middle of the body.
"""
