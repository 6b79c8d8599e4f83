"""What each process of a server is, as `ps` and `top` show it."""

try:
    import setproctitle
except ImportError:  # an installation of an older version, upgraded in place without its dependencies
    _HAS_TITLES = False
else:
    _HAS_TITLES = True


def set_title(role: str) -> None:
    """Give this process a title such as ``modelyard: indexer``."""
    if _HAS_TITLES:
        setproctitle.setproctitle(f"modelyard: {role}")
