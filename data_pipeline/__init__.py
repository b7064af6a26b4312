"""From files to device batches, on the host: records, sources, loader, preparation, simulator."""
