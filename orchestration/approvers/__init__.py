"""Approvers, one file each: they say who has to approve an effect."""
