"""Random, hostile worlds of events: what a video platform's clients might send, distorted by the network.

A world is a function of its seed and the current time. The code knows the event contract, not the product.
"""
