"""The vision-language model: vision encoder, text encoder, and how prompts attend to patches."""
