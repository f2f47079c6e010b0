# SPDX-License-Identifier: MIT
"""``python -m resonanced``."""

import sys

from resonanced.cli import main

sys.exit(main())
