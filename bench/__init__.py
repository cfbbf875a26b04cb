"""Measures what an event costs Postbell, beside the least that it must cost (the floor).

`./do bench` starts the real `postbell serve` on a folder of its own, loads it from a process of
its own and counts arrivals in a third; CPU time is read from /proc.  The same load then goes to
the floor: a bare program that does the scenario's unavoidable work and nothing else.
"""
