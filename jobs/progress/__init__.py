"""Live progress through Redis: the only package that imports redis.

Each event goes into its job's Redis Stream, for clients that come back, and over one channel that every server process
reads once, for those that are there. Redis may be away at any time: the row in the database is the truth.
"""

from redis.exceptions import RedisError

__all__ = ["RedisError"]
