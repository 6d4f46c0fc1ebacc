"""A stand-in for a ComfyUI server: the same HTTP and WebSocket protocol, with painted pictures instead of a model's."""
