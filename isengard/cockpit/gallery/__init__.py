"""The gallery: all generated pictures, newest first, and each with what made it."""
