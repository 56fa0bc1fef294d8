"""Fits of measured tables: constants of hardware with intervals and held-out errors."""
