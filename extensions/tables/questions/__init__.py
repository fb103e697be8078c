"""Questions of people to tables, read without a model: a typed query from the words of the question and of the table."""
