"""Prompts with choices in them: `{red|blue}` and `__wildcard__`, written out for each image."""

from generation.prompts.syntax import PromptRefused
from generation.prompts.wildcards import WildcardFolder
from generation.prompts.writing import write_out

__all__ = ["PromptRefused", "WildcardFolder", "write_out"]
