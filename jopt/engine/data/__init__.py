"""What a user gave as batches: arrays, a function, an iterable; the rows of a step."""
