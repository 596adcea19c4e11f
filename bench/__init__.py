"""Measurements: `./dev bench NAME`."""
