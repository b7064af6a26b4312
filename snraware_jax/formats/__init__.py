"""Files in, files out: every format reads and writes the two types `RawScan` (k-space) and `Series` (images)."""
