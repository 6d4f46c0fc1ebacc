"""What operators see of characters. Rows that a machine writes can be looked at and deleted, not edited."""

from characters.admin import character, image, lora

__all__ = ["character", "image", "lora"]
