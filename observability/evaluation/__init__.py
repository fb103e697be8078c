"""How good is it? Golden questions, judges, comparisons, drift."""
