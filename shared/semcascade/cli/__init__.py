"""The shell: `semcascade ask | doctor | models`."""

from __future__ import annotations

import signal
import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line and end the process with its exit code."""
    try:
        from semcascade.cli.app import run

        code = run(sys.argv[1:])
    except KeyboardInterrupt:
        code = 130
    # Closing connections and local models takes a moment; a second Ctrl-C must not turn it into a traceback.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.exit(code)
