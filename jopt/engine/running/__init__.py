"""How blocks are run: workers, and the hand that carries a sweep out."""
