"""Recipes: how fitted and measured values of shipped files follow from tables."""
