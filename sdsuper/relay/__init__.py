"""The process that sends to syslog servers. The daemon starts it when there is something to send; it looks up names,
connects, speaks TLS and waits for servers, so that the daemon need not.
"""
