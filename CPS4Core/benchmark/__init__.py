"""How fast this machine segments and trains, and how much memory that takes."""
