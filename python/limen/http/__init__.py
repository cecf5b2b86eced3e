"""The HTTP face: JSON over HTTP/1.1 for gateways that are not Python. Needs the `server` extra.

No rule about keys, limits or money is here: bytes become one call of the engine, its answer becomes bytes.
"""
