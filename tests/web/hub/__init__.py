"""Tests of the shape of the Hugging Face Hub."""
