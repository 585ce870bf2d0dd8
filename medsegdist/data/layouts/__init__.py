"""Layouts of datasets on disk, one a file: what their cases are, how a case is loaded, how `init` recognizes them."""
