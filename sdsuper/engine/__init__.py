"""The daemon: the only place where the pure core meets the system.

`supervise` carries out what the core decides, `outputs` wires programs to their logs, `update` makes a new
configuration so, `commands` answers the control socket, `daemon` is the life of the whole.
"""
