"""What is ours alone: documents, tools, golden questions."""
