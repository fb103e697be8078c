"""`make new`: a project of one's own, written from this tree and checked there."""
