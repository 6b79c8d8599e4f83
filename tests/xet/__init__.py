"""Tests of the formats in which hf-xet sends files."""
