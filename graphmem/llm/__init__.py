"""Chat models: servers that speak OpenAI's API, the cache before them, prompts and answers."""
