"""OpenAI's and Anthropic's APIs over our agent. The folder can be deleted with its routers."""
