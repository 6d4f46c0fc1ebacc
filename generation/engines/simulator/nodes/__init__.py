"""The node classes that this server knows, by name."""

from generation.engines.simulator.node_schema import Node
from generation.engines.simulator.nodes import conditioning, images, latents, loaders, packs, sampling, schedules

CATALOGUE: dict[str, Node] = {
    node.name: node
    for module in (loaders, conditioning, latents, schedules, sampling, images, packs)
    for node in module.NODES
}
