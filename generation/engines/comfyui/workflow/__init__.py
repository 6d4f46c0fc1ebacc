"""Workflows as data: one builder for each thing that a graph can do, composed to the graph of one image."""

from generation.engines.comfyui.workflow.build import build_graph
from generation.engines.comfyui.workflow.request import DECODE, SAMPLER, SAVE, NotOffered

__all__ = ["DECODE", "SAMPLER", "SAVE", "NotOffered", "build_graph"]
