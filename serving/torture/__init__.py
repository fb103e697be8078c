"""Kills, damage and a full disk for the ledger and the index, in processes of their own: `make torture`."""
