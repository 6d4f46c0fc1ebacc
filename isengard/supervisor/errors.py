class CannotStart(Exception):
    """Isengard cannot be started here and now. The text is one line that says why, and what to do."""
