"""Measure how long a network takes: cells, clocks, the protocol and when it stops.

Read `protocol.py` first. Importing this is light; `protocol` and `work` load torch.
"""
