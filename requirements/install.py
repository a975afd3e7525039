"""Install pinned requirements into `.venv`, and do nothing when that was done before.

Run with any Python 3.11 or newer: `python3 requirements/install.py run` or `... test`. It needs nothing installed; it uses uv
where there is one, else pip. `... conformance` fills an environment of its own, `.venv-conformance`.
"""

import hashlib
import os
import pathlib
import shutil
import subprocess
import sys

PROJECT = pathlib.Path(__file__).resolve().parent.parent
APART = ("conformance", "bench", "mutation")
OLDEST = (3, 11)


def main() -> int:
    """Install one set of requirements; answer the exit code."""
    if sys.version_info < OLDEST:
        return fail(f"Python 3.11 or newer is needed; this is {sys.version.split()[0]}. Try: make PYTHON=python3.12")
    name = sys.argv[1]
    environment = PROJECT / (f".venv-{name}" if name in APART else ".venv")
    python = environment / "bin" / "python"
    requirements = PROJECT / "requirements" / f"{name}.txt"
    wanted = stamp_of(requirements)
    # The test requirements include those of a run.
    known = (name,) if name in APART else dict.fromkeys((name, "test"))
    stamps = [environment / f"installed-{one}" for one in known]
    if python.exists() and wanted_is_installed(name, stamps, wanted):
        return 0
    if not is_usable(environment):
        print(f"Making {environment.name} ...", flush=True)
        shutil.rmtree(environment, ignore_errors=True)
        made = subprocess.run([sys.executable, "-m", "venv", str(environment)], check=False)
        if made.returncode:
            shutil.rmtree(environment, ignore_errors=True)
            return fail("The virtual environment could not be made. On Debian and Ubuntu: apt-get install python3-venv")
    print(f"Installing requirements/{name}.txt ...", flush=True)
    done = subprocess.run(command(python, requirements), check=False, env=quiet_environment())
    if done.returncode:
        return fail("Installing failed (see above): check the network and the free space, then run the same command again.")
    (environment / f"installed-{name}").write_text(wanted)
    return 0


def is_usable(environment: pathlib.Path) -> bool:
    """Tell whether an environment is whole and made for this interpreter; an upgraded or half-made one is made anew."""
    marker = environment / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages" / "pip"
    return (environment / "bin" / "python").exists() and marker.is_dir()


def wanted_is_installed(name: str, stamps: list[pathlib.Path], wanted: str) -> bool:
    """Tell whether these requirements, or the larger set with them, were installed before."""
    for stamp in stamps:
        if stamp.exists() and stamp.read_text() == (wanted if stamp.name.endswith(name) else current_test_stamp()):
            return True
    return False


def current_test_stamp() -> str:
    """Return the stamp of the larger set."""
    return stamp_of(PROJECT / "requirements" / "test.txt")


def stamp_of(requirements: pathlib.Path) -> str:
    """Return what must be written in the stamp: the pins and the interpreter they were installed for."""
    return f"{hashlib.sha256(requirements.read_bytes()).hexdigest()} {sys.version_info[0]}.{sys.version_info[1]}\n"


def command(python: pathlib.Path, requirements: pathlib.Path) -> list[str]:
    """Return the installer's command line. Wheels only: a compiler is never needed."""
    uv = shutil.which("uv")
    if uv:
        words = [uv, "pip", "install", "--python", str(python), "--require-hashes", "--compile-bytecode", "--quiet"]
        return [*words, "--only-binary", ":all:", "--no-deps", "-r", str(requirements)]
    words = [str(python), "-m", "pip", "install", "--require-hashes", "--no-deps", "--only-binary", ":all:"]
    return [*words, "--quiet", "--progress-bar", "off", "--disable-pip-version-check", "-r", str(requirements)]


def quiet_environment() -> dict[str, str]:
    """Return an environment in which pip does not complain about being root: it installs into `.venv`."""
    return {**os.environ, "PIP_ROOT_USER_ACTION": "ignore"}


def fail(reason: str) -> int:
    """Say why and answer the exit code."""
    print(reason, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
