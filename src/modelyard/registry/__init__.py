"""The writer of models: facts from sources are merged into layers, and the model is resolved from them."""
