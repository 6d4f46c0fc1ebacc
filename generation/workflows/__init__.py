"""Operators' own workflows: ComfyUI's API format, with a small file that says where our parameters go.

It knows nothing of where the files lie, of servers or of jobs; both the engine and the API read it.
"""
