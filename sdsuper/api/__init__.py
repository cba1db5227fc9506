"""The HTTP face, a process of its own: Supervisor's XML-RPC, its log endpoints and status page, for everybody who
speaks HTTP.

It is started by the daemon when somebody connects, has no rights but its connection to the daemon (descriptor 0, the
protocol of the control socket), holds no state of the programs, and ends when nobody is connected. Start reading in
face.py. Must not: be imported by anything else.
"""
