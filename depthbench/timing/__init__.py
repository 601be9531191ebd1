"""Measure how long a network takes: cells, clocks, benches, rounds and when they stop.

Read `session.py` first. Importing this is light; what runs a cell loads torch.
"""
