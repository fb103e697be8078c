"""Evaluation of your system: golden questions, judges, comparisons."""
