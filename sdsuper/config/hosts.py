"""Hosts as they are written before a port.

Promises: what has brackets is an IPv6 address, and not only made of its characters. Must not: look up a name.
"""


def is_host(text: str) -> bool:
    """Whether what is in brackets, if there are any, is an IPv6 address, which may have a zone (`%eth0`)."""
    if not text.startswith("["):
        return True
    from ipaddress import IPv6Address  # dear, and few need it
    try:
        return bool(IPv6Address(text[1:-1]))
    except ValueError:
        return False
