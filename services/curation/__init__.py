"""Turns raw community dumps into small, diverse, traceable instruction datasets."""
