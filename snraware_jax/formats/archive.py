"""What reading a damaged zip archive can raise, as found by damaging some."""

import struct
import zipfile
import zlib

BROKEN = (zipfile.BadZipFile, zlib.error, struct.error, NotImplementedError, RuntimeError, EOFError, MemoryError)
