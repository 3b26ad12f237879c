"""Lanes and the blocks that they run in: where they start, what they record, where they wait."""
