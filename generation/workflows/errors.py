class FileBroken(ValueError):
    """A file of the operator cannot be used; the text says why, to the operator."""
