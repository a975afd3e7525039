"""Settings for the type checker, which reads them without starting any server."""

import os
import tempfile
from pathlib import Path

os.environ.setdefault("TRADEAPP_DATA_DIR", str(Path(tempfile.gettempdir()) / f"tradeapp-typing-{os.getuid()}"))

from tradeapp.settings import *  # noqa: F403 - the environment must be set first.
