"""Hostile and broken files, each with what they must end in.

Inputs are made by the checks themselves. A module holds one kind of file in its `REPORTS`, rows as in
`tests/public_reports/`.
"""
