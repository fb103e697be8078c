"""May this tree be released?"""
