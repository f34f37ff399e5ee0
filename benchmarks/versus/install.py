"""Give each Python peer its own virtual environment, never the project's.

    python -m benchmarks.versus.install [PEER ...]
"""

import subprocess
import sys
import venv

from benchmarks.versus.peers import BY_NAME, ENVIRONMENTS, PEERS


def is_installed(peer):
    """True if the environment holds exactly the requirements listed."""
    stamp = peer.environment / "installed.txt"
    return stamp.exists() and stamp.read_text(encoding="utf-8").split() == list(peer.requirements)


def install(peer):
    """Make the environment of one peer; nothing to do if it is there.

    Raises
    ------
    RuntimeError
        If pip fails, with its last words.
    """
    if not peer.requirements or is_installed(peer):
        return
    ENVIRONMENTS.mkdir(exist_ok=True)
    (ENVIRONMENTS / ".gitignore").write_text("*\n", encoding="utf-8")
    print(f"installing {peer.requirements[0]} into its own environment", flush=True)
    venv.create(peer.environment, clear=True, symlinks=True, with_pip=True)
    pip = subprocess.run(
        [peer.environment / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
         "--only-binary", ":all:", *peer.requirements],
        capture_output=True, text=True, check=False,
    )
    if pip.returncode:
        lines = [line for line in pip.stderr.splitlines() if line.startswith("ERROR")] or ["pip failed"]
        raise RuntimeError(f"{peer.requirements[0]} could not be installed: {lines[-1]}")
    (peer.environment / "installed.txt").write_text("\n".join(peer.requirements) + "\n", encoding="utf-8")


if __name__ == "__main__":
    for chosen in [BY_NAME[name] for name in sys.argv[1:]] or PEERS:
        install(chosen)
