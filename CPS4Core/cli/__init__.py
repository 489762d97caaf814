"""The command `cps4`: one module for each of its commands."""
