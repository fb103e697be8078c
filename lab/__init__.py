"""The lab proves this template: attacks on it, and later its benchmarks, faults and loads. No layer imports it."""
