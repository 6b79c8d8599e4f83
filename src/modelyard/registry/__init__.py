"""The only writer of models: merges facts of sources into layers, and resolves models from their layers."""
