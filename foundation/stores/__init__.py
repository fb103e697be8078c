"""Files and databases in which the layers store their data."""
