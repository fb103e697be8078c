"""Splitting text into words, terms and sentences, in every script, without a model."""
