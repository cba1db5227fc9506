"""The process that asks programs how they are, over HTTP, TCP and unix sockets. The daemon starts it for the first
question; it looks up names, connects, speaks TLS and waits, so that the daemon need not.
"""
