"""Grounding: is the evidence enough to answer, and do citations support each sentence?"""
