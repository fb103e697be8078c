"""Judges of entailment, one file each: does a text support a sentence?"""
