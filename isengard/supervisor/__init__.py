"""`make run`: starts every process of Isengard, keeps it running, and ends all of them together.

It reads the settings and does without the rest of Django, so that it stays small beside its eight children.
"""
