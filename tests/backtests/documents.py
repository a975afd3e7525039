"""What every report that is one file must be: whole, and in need of nobody."""

from __future__ import annotations

import json
import re
from typing import Any


def carried(text: str, name: str) -> Any:
    """Hold a file against what its policy says, and return the figures that it carries along."""
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text)
    assert policy is not None
    assert policy.group(1).startswith("default-src 'none'; script-src 'sha256-")
    # Nothing is named that a browser would fetch.
    page = re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
    assert not re.search(r"(?:src|href)=|@import|url\(", page)
    assert text.count("<script") == text.count("</script>") == 3
    module = text.rsplit('<script type="module">', 1)[1]
    assert "import " not in module.split("</script>")[0]
    data = re.search(rf'id="{name}" type="application/json">(.*?)</script>', text, re.DOTALL)
    assert data is not None
    return json.loads(data.group(1))
