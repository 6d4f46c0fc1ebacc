"""The node classes that this server knows, by name."""

from generation.engines.simulator.node_schema import Node
from generation.engines.simulator.nodes import conditioning, images, latents, loaders, sampling

CATALOGUE: dict[str, Node] = {
    node.name: node for node in (*loaders.NODES, *conditioning.NODES, *latents.NODES, *sampling.NODES, *images.NODES)
}
