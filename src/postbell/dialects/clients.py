"""What a recipient's program runs on, by what it says of itself."""

DEVICES = (
    ("Tablet", ("ipad", "tablet", "kindle")),
    ("Mobile", ("mobile", "iphone", "ios", "android", "windows phone")),
    ("Desktop", ("windows", "mac", "linux", "x11", "cros", "ubuntu", "bsd")),
)
"""What names a device in the operating system or the user agent; the first row that fits counts."""


def device(os: str | None, user_agent: str | None) -> str:
    """Return `Tablet`, `Mobile` or `Desktop`, or nothing where nothing says so."""
    said = f"{os or ''} {user_agent or ''}".lower()
    return next((name for name, marks in DEVICES if any(mark in said for mark in marks)), "")
