"""A simulation that says whether the interval of the value report is right."""
