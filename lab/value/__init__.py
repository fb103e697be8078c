"""Is the interval of the value report right?"""
