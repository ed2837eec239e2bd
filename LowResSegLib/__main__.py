"""Run the command line: python -m LowResSegLib."""

from __future__ import annotations

import sys

from LowResSegLib.cli import main

if __name__ == "__main__":
    sys.exit(main())
