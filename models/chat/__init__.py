"""Chat models, one file each. Any LangChain chat model can be named by its dotted path."""
