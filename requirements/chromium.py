"""Have a Chromium for the browser tests: the system's own, installed by its package manager where that is allowed."""

import os
import shutil
import subprocess
import sys

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ADVICE = "Browser tests will be skipped: there is no Chromium. Get it with: sudo apt-get install chromium"


def main() -> int:
    """Install Chromium if it is missing and that is possible; never fail, the tests say what they skip."""
    if any(shutil.which(name) for name in NAMES):
        return 0
    if os.getuid() != 0 or not shutil.which("apt-get"):
        print(ADVICE, file=sys.stderr)
        return 0
    print("Installing Chromium for the browser tests ...", flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for words in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", "chromium"]):
        done = subprocess.run(["apt-get", *words], env=environment, stdout=subprocess.DEVNULL, check=False)
        if done.returncode:
            print(ADVICE, file=sys.stderr)
            return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
