"""The OpenAPI document: what drf-spectacular reads off the views, completed by what holds for every operation."""
