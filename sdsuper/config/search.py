"""Where a configuration is looked for when none is named. Pure, and without imports: clients start with it."""


def search_paths(argv0: str) -> tuple[str, ...]:
    """The places, in order; `argv0` is the program as it was called, whose own tree comes first."""
    above = "/".join(argv0.split("/")[:-2]) or ("/" if argv0.startswith("/") else "")
    prefix = f"{above.rstrip('/')}/" if above else ""
    return (f"{prefix}etc/supervisord.conf", f"{prefix}supervisord.conf", "supervisord.conf", "etc/supervisord.conf",
            "/etc/supervisord.conf", "/etc/supervisor/supervisord.conf")
