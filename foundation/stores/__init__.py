"""Files and databases that several layers keep their data in."""
