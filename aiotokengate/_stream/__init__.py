"""One reply as it comes: bytes taken as they arrive, clocks, cursors, files."""
