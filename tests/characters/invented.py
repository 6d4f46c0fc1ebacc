"""Hypothesis without dice, and without an eye on the clock."""

from hypothesis import HealthCheck, settings

steady = settings(derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
