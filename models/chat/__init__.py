"""Chat models, a file each. Any LangChain chat model is taken by its dotted name."""
