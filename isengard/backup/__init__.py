"""Copies of the database and of the files it names, and the way back from one."""
