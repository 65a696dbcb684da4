"""Who acts, as far as the system knows: the audit log keeps it beside the login, which is proven."""

import os
import pwd


def actor() -> str:
    """A container may have no name for its user."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"
