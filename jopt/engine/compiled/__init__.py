"""A step of one lane as a jaxpr, the loops around it, and compiled code by what it computes."""
