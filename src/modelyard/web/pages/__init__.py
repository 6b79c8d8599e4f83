"""The pages for people: gallery, model, upload, keys, status and API reference."""
