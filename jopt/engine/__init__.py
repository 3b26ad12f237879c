"""The engine: trains the lanes of a sweep in blocks, chunk by chunk, on all cores or accelerators."""
