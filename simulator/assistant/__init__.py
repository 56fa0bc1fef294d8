"""Phones that ask LLM questions, and the places where these are answered (docs/placement.md)."""
