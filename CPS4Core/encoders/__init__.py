"""The vision-language model: a vision encoder, a text encoder, and how prompts attend to patches."""
