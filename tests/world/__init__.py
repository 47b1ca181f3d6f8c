"""Random, nasty worlds: what a video platform's clients might send, and what the network makes of it.

A world is a function of its seed and of now. It knows the event contract and nothing of the product.
"""
