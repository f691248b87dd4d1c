"""Benchmarks: Interlock beside what one would pick instead, and beside what the machine allows.

`make bench` runs them; `README.md` here says how to read them.
"""
