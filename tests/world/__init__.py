"""Random, hostile worlds of events: what a video platform's clients might send, distorted by the network.

A world is a function of its seed and the current time. The code knows the event contract, not the product.

`world` builds a whole one: `catalog` has the videos, `playback` the views, `people` everything else.
`delivery` and `encoding` turn events into records, `broken` has invalid ones, `feed` cuts batches.
"""
