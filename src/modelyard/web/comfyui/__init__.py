"""The shapes of ComfyUI-Manager."""
