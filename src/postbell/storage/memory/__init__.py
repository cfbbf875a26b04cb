"""The memory engine: the reference of what the ports mean, for tests and for reading.

Nothing survives the process.  Every method runs without a pause, so each is one commit.
"""

from postbell.storage.memory.database import MemoryDatabase
from postbell.storage.memory.engine import MemoryEngine

__all__ = ["MemoryDatabase", "MemoryEngine"]
