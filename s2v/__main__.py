"""`python -m s2v`: the same as the `s2v` command."""

from __future__ import annotations

import sys

from s2v.cli import main

sys.exit(main())
