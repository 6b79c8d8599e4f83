"""The answers for small headers, one file for each kind of model."""
