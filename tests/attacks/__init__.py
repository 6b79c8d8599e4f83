"""Makers of hostile and damaged files: one function an attack, listed in README.md, judged by test_attacks.py."""
