"""The command line: ``python -m aiows``."""

from __future__ import annotations

import sys

from ._cli.arguments import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
