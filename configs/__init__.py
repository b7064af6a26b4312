"""Experiments as data: `base.py` states every field once, every other file is one experiment on top of it."""
