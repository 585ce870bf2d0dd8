"""How datasets lie on disk: one layout a file, each turning a folder into cases and knowing how to read them."""
