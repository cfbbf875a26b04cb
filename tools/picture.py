"""Draw docs/images/demo.svg from a real run of the demo in a terminal of its own.

python -m tools.picture [SECONDS]
"""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import tempfile
import termios
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.text import Text

COLUMNS, LINES = 112, 40
TARGET = Path(__file__).parent.parent / "docs" / "images" / "demo.svg"
_CONTROL = re.compile(r"\x1b\[\?25[lh]|\x1b\[(\d*)A|\x1b\[2K|\r\n|\r|\n")

_FONT = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)
_KEY = re.compile(r"\bpb_[\w-]+")


def main() -> None:
    seconds = sys.argv[1] if len(sys.argv) > 1 else "70"
    with tempfile.TemporaryDirectory(prefix="postbell-demo-") as folder:
        written = run(["demo", "--seconds", seconds], Path(folder))
    console = Console(record=True, width=COLUMNS, file=StringIO())
    for line in screen(written):
        console.print(Text.from_ansi(_KEY.sub("pb_...", line)))
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    svg = console.export_svg(title="./do run", unique_id="demo")
    svg = re.sub(r"[ \t]+$", "", _FONT.sub("", svg), flags=re.MULTILINE)
    TARGET.write_text(svg + "\n", encoding="utf-8")


def run(arguments: list[str], folder: Path) -> str:
    """Return what `postbell` writes to a terminal of COLUMNS by LINES, started in *folder*."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    environ = {k: v for k, v in os.environ.items() if not k.startswith("POSTBELL_")}
    script = Path(sys.executable).with_name("postbell")
    environ |= {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
    environ["PATH"] = f"{script.parent}{os.pathsep}{environ['PATH']}"
    command = [str(script), *arguments]
    process = subprocess.Popen(
        command, cwd=folder, env=environ, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    written = bytearray()
    while chunk := _read(ours):
        written += chunk
    os.close(ours)
    if process.wait() != 0:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return written.decode()


def screen(written: str) -> list[str]:
    """Return the lines that stand on the terminal at the end, with their colours."""
    lines, row, at = [""], 0, 0
    for control in _CONTROL.finditer(written):
        lines[row] += written[at : control.start()]
        at = control.end()
        text = control[0]
        if text.endswith("A"):
            row = max(row - int(control[1] or 1), 0)
        elif text.endswith("2K"):
            lines[row] = ""
        elif text.endswith("\n"):
            row += 1
            if row == len(lines):
                lines.append("")
    lines[row] += written[at:]
    while lines and not lines[-1].strip():
        lines.pop()
    return lines


def _read(source: int) -> bytes:
    try:
        return os.read(source, 65536)
    except OSError:  # the other side is closed: Linux answers EIO
        return b""


if __name__ == "__main__":
    main()
