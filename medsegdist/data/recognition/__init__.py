"""What a folder holds that somebody points at, and how a study would describe it: one layout a file."""
