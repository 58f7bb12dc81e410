"""Engines: ways to turn token ids into token ids, behind the small interface of `base`."""
