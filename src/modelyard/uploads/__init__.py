"""Files that teams send: received, verified, and cleaned up."""
