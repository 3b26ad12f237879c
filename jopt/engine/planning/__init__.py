"""Plans: the rule of thumb that proposes, what was measured before, what fits into memory."""
