"""Tasks for coding assistants on a fresh copy of this tree, and what decides whether they were done."""
