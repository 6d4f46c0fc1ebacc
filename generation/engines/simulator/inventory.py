"""What is installed: everything that is known here, less what was left out."""

from collections.abc import Mapping
from fnmatch import fnmatchcase

from generation.engines.simulator.node_schema import Node
from generation.engines.simulator.nodes import CATALOGUE

PACK_PREFIX = "custom_nodes."


class Inventory:
    """`absent` are patterns of node classes, of node packs, or of model files such as `vae/ae.safetensors`."""

    def __init__(self, absent: tuple[str, ...] = ()) -> None:
        self._absent = absent
        self.nodes: Mapping[str, Node] = {name: node for name, node in CATALOGUE.items() if self._has_node(node)}

    def has_file(self, folder: str, name: str) -> bool:
        return not self._lacks(f"{folder}/{name}")

    def _has_node(self, node: Node) -> bool:
        return not self._lacks(node.name) and not self._lacks(node.module.removeprefix(PACK_PREFIX))

    def _lacks(self, thing: str) -> bool:
        return any(fnmatchcase(thing, pattern) for pattern in self._absent)
